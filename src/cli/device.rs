//! Which device, and how many threads.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use clap::{Args, ValueEnum};

use super::failure::{Failure, Outcome};
use crate::engine::{Opened, open};
use crate::lab::DeviceWish;

/// A device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeviceArg {
    /// The GPU if this program was built for one, the CPU otherwise
    Auto,
    /// The processor, with as many threads as it has cores
    Cpu,
    /// The graphics card, through Vulkan, Metal or DirectX; needs a program built with the feature `gpu`
    Gpu,
}

/// Where to compute.
#[derive(Args, Clone, Debug)]
pub struct DeviceArgs {
    /// Where to compute
    #[arg(long, value_enum, default_value = "auto")]
    pub device: DeviceArg,
    /// Threads on the CPU; results do not depend on it
    #[arg(long, value_name = "COUNT")]
    pub threads: Option<usize>,
}

impl DeviceArgs {
    /// Opens the device. One that was asked for is never replaced by another.
    ///
    /// # Errors
    /// When it is not there, or was not built in.
    pub fn open(&self) -> Outcome<Opened> {
        let wish = match self.device {
            DeviceArg::Auto => DeviceWish::Auto,
            DeviceArg::Cpu => DeviceWish::Cpu,
            DeviceArg::Gpu if cfg!(not(feature = "gpu")) => {
                return Err(Failure::device(
                    "this program was built without a GPU: build it with --features cli,gpu, or say --device cpu",
                ));
            }
            DeviceArg::Gpu => DeviceWish::Gpu,
        };
        wait(open(wish)).map_err(Failure::device)
    }

    /// How many threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from)).max(1)
    }
}

struct Wakes(Thread);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The value of a future; this thread sleeps until it is there.
pub fn wait<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Wakes(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
