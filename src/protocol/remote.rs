//! What a page and a server whose machine computes for it have agreed upon, beside the messages themselves.

/// The name of the `meta` element by which a server says that it computes.
pub const META: &str = "scorefield-remote";
/// The header that every request carries; its value is the token, or anything where none is needed.
pub const ASK: &str = "Scorefield-Remote";
/// Asks for an engine; the answer is its name, which follows the other paths after a question mark.
pub const OPEN: &str = "remote/open";
/// Posts a command.
pub const SEND: &str = "remote/send";
/// Asks for events; the answer is a [`frame`].
pub const POLL: &str = "remote/poll";
/// Ends the engine.
pub const END: &str = "remote/end";

/// Messages one after the other, each after its length in four bytes, the least first.
#[must_use]
pub fn frame(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(messages.iter().map(|message| message.len() + 4).sum());
    for message in messages {
        frame.extend_from_slice(&(message.len() as u32).to_le_bytes());
        frame.extend_from_slice(message);
    }
    frame
}

/// The messages of a frame; what is cut short at its end is left out.
pub fn messages(frame: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = frame;
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let message = after.get(..u32::from_le_bytes(*length) as usize)?;
        rest = &after[message.len()..];
        Some(message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_of_a_frame_as_they_went_in() {
        let sent = [vec![1, 2, 3], Vec::new(), vec![0; 300]];
        let frame = frame(&sent);
        assert!(messages(&frame).eq(sent.iter()));
        assert_eq!(messages(&frame[..frame.len() - 1]).count(), 2);
        assert_eq!(messages(&[255, 255, 255, 255, 1]).count(), 0);
        assert_eq!(messages(&[]).count(), 0);
    }
}
