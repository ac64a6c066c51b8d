//! Placeholder.

use crate::protocol::{Command, DeviceInfo, Event};

/// Where commands come from and events go.
#[allow(async_fn_in_trait)]
pub trait Port {
    /// A command, if one is there.
    fn try_recv(&mut self) -> Option<Command>;
    /// The next command.
    async fn recv(&mut self) -> Command;
    /// Sends an event.
    fn send(&mut self, event: Event);
    /// Lets others take a turn.
    async fn yield_now(&self);
    /// A clock, in milliseconds.
    fn now_ms(&self) -> f64;
}

/// Answers for ever.
pub async fn serve(port: &mut impl Port, about: DeviceInfo) {
    port.send(Event::Ready { device: about });
    loop {
        port.yield_now().await;
        let _ = port.recv().await;
    }
}
