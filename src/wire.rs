//! Commands and events as bytes: what `postMessage` carries between page and worker.
//!
//! A message is the version of the language both sides speak, four bytes, then the value in postcard's format. The
//! version is a digest of the sources that define the messages, so that a page left open, or half refreshed, over a
//! new deployment never misreads a worker of another build: it says so instead.

use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::protocol::{Failure, FailureKind};

/// Digest of the sources that define the messages, by build.rs.
const VERSION: [u8; 4] = match u32::from_str_radix(env!("SCOREFIELD_WIRE"), 16) {
    Ok(version) => version.to_le_bytes(),
    Err(_) => panic!("build.rs writes eight hexadecimal digits"),
};

/// Why a message cannot cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// It comes from another build of this program.
    #[error("the page and its engine are of different builds")]
    Outdated,
    /// It is of this build and still cannot be read or written: a fault of the program.
    #[error("a message between page and engine is damaged")]
    Damaged,
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        let kind = match error {
            WireError::Outdated => FailureKind::Outdated,
            WireError::Damaged => FailureKind::Internal,
        };
        Self { kind, detail: error.to_string() }
    }
}

/// The bytes of a message.
///
/// # Errors
/// [`WireError::Damaged`] for values that have no bytes, which no command or event is.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, WireError> {
    postcard::to_extend(message, VERSION.to_vec()).map_err(|_| WireError::Damaged)
}

/// What follows the version in the bytes of a message.
///
/// # Errors
/// [`WireError::Outdated`] when another build wrote them.
pub fn content(bytes: &[u8]) -> Result<&[u8], WireError> {
    bytes.strip_prefix(&VERSION).ok_or(WireError::Outdated)
}

/// The message in these bytes.
///
/// # Errors
/// [`WireError::Outdated`] when another build wrote them, [`WireError::Damaged`] when they are no message of this one.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    match postcard::take_from_bytes(content(bytes)?) {
        Ok((message, [])) => Ok(message),
        _ => Err(WireError::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::RunConfig;
    use crate::protocol::{Bytes, Command, Event, Floats, RunId};

    #[test]
    fn messages_come_back_as_they_went() {
        let command = Command::Continue {
            run: RunId(7),
            config: RunConfig { seed: u32::MAX, ..RunConfig::default() },
            checkpoint: Bytes((0..=255).collect()),
        };
        assert_eq!(decode(&encode(&command).expect("bytes")), Ok(command));
        let event = Event::Training {
            run: RunId(1),
            step: 3,
            of: 9,
            losses: Floats(vec![1.5, f32::INFINITY, -0.0]),
            rate: 0.1,
        };
        assert_eq!(decode(&encode(&event).expect("bytes")), Ok(event));
    }

    #[test]
    fn what_workers_say_to_each_other_are_commands_and_events() {
        use crate::lab::DeviceInfo;
        use crate::protocol::pool::{PoolCommand, PoolEvent, PoolRequest};
        use crate::protocol::{Failure, FailureKind};
        let (id, image, time) = (8, Floats(vec![1.0, -2.5]), 400.0);
        let request = PoolRequest::Evaluate { id, images: image.clone(), side: 1, time, classes: vec![Some(3), None] };
        assert_eq!(decode(&encode(&PoolCommand::Pool(request.clone())).expect("bytes")), Ok(Command::Pool(request)));
        let heard = |event: Event| decode::<PoolEvent>(&encode(&event).expect("bytes"));
        assert_eq!(
            heard(Event::Evaluated { id, output: image.clone() }),
            Ok(PoolEvent::Evaluated { id, output: image })
        );
        let device = DeviceInfo { name: "CPU".into(), ..DeviceInfo::default() };
        assert_eq!(heard(Event::Ready { device: device.clone() }), Ok(PoolEvent::Ready { device }));
        let failure = Failure { kind: FailureKind::Internal, detail: String::new() };
        assert_eq!(heard(Event::Failed { run: None, failure }), Err(WireError::Damaged));
    }

    #[test]
    fn a_message_of_another_build_is_told_from_a_damaged_one() {
        let mut bytes = encode(&Command::Pause).expect("bytes");
        bytes.push(0);
        assert_eq!(decode::<Command>(&bytes), Err(WireError::Damaged));
        assert_eq!(decode::<Command>(&bytes[..4]), Err(WireError::Damaged));
        bytes[0] ^= 1;
        assert_eq!(decode::<Command>(&bytes), Err(WireError::Outdated));
        assert_eq!(decode::<Command>(&[]), Err(WireError::Outdated));
    }

    #[test]
    fn no_bytes_make_the_reader_panic_or_take_memory_it_has_no_bytes_for() {
        let whole = encode(&Event::Weights { run: RunId(1), step: 1, file: Bytes(vec![3; 64]) }).expect("bytes");
        for length in 4..whole.len() {
            assert_eq!(decode::<Event>(&whole[..length]), Err(WireError::Damaged), "{length}");
        }
        let mut rng = crate::rng::Rng::new(5, crate::rng::Stream::Test, 0);
        for _ in 0..20_000 {
            let mut bytes = VERSION.to_vec();
            bytes.extend((0..rng.below(40)).map(|_| rng.below(256) as u8));
            // Either is fine; what counts is that it ends.
            drop(decode::<Event>(&bytes));
        }
    }
}
