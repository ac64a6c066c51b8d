//! Which device, and how many threads.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use clap::Args;

use super::count::count;
use super::failure::{Failure, Outcome};
use crate::lab::DeviceChoice;
use crate::nn::device::{Adapter, open_adapter, open_cuda};
use crate::nn::device::{ComputeDevice, open};

/// A device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceArg {
    /// A GPU if this program was built for one, the CPU otherwise.
    Auto,
    /// The processor.
    Cpu,
    /// A graphics card through Vulkan, Metal or DirectX.
    Gpu(Adapter),
    /// An NVIDIA card through CUDA, counted from 0.
    Cuda(usize),
}

/// The devices by their names, for messages.
const NAMES: &str = "auto, cpu, gpu, gpu:0 (a separate card by its number), gpu:integrated, gpu:software, cuda, cuda:0";

fn device(text: &str) -> Result<DeviceArg, String> {
    let unknown = || format!("devices are {NAMES}");
    let number = |text: &str| text.parse::<usize>().map_err(|_| unknown());
    Ok(match text.split_once(':') {
        None => match text {
            "auto" => DeviceArg::Auto,
            "cpu" => DeviceArg::Cpu,
            "gpu" => DeviceArg::Gpu(Adapter::Best),
            "cuda" => DeviceArg::Cuda(0),
            _ => return Err(unknown()),
        },
        Some(("gpu", "integrated")) => DeviceArg::Gpu(Adapter::Integrated),
        Some(("gpu", "software")) => DeviceArg::Gpu(Adapter::Software),
        Some(("gpu", index)) => DeviceArg::Gpu(Adapter::Discrete(number(index)?)),
        Some(("cuda", index)) => DeviceArg::Cuda(number(index)?),
        Some(_) => return Err(unknown()),
    })
}

/// Where to compute.
#[derive(Args, Clone, Debug)]
pub struct DeviceArgs {
    /// Where to compute: auto (a GPU if this program was built for one), cpu, gpu (Vulkan, Metal or DirectX: the fastest;
    /// gpu:0, gpu:1 a separate card, gpu:integrated, gpu:software), cuda or cuda:1. Training on images takes several,
    /// such as gpu:0,gpu:1, which share every batch
    #[arg(long, value_parser = device, value_delimiter = ',', default_value = "auto")]
    pub device: Vec<DeviceArg>,
    /// Threads on the CPU; results do not depend on it
    #[arg(long, value_name = "COUNT", value_parser = count(4096))]
    pub threads: Option<usize>,
}

impl DeviceArgs {
    /// Opens the device. One that was asked for is never replaced by another.
    ///
    /// # Errors
    /// When it is not there, was not built in, or is not the only one.
    pub fn open(&self) -> Outcome<ComputeDevice> {
        match &self.device[..] {
            [device] => device.open(),
            _ => Err(Failure::usage("only training on images takes several devices: name one with --device")),
        }
    }

    /// Opens all devices, in order. One that is named twice is opened once, and gets two shares of the work.
    ///
    /// # Errors
    /// When one is not there, or was not built in.
    pub fn open_all(&self) -> Outcome<Vec<ComputeDevice>> {
        let mut compute: Vec<ComputeDevice> = Vec::with_capacity(self.device.len());
        for (index, device) in self.device.iter().enumerate() {
            let known = self.device[..index].iter().position(|other| other == device);
            compute.push(match known {
                Some(known) => compute[known].clone(),
                None => device.open()?,
            });
        }
        Ok(compute)
    }

    /// How many threads.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from)).max(1)
    }
}

impl DeviceArg {
    fn open(self) -> Outcome<ComputeDevice> {
        let without = |what: &str, feature: &str| {
            let build = format!("build it with --features cli,{feature}, or say --device cpu");
            Failure::device(format!("this program was built without {what}: {build}"))
        };
        let compute = match self {
            Self::Auto if cfg!(all(feature = "cuda", not(feature = "gpu"))) => open_cuda(0),
            Self::Auto => wait(open(DeviceChoice::Auto)),
            Self::Cpu => wait(open(DeviceChoice::Cpu)),
            Self::Gpu(_) if cfg!(not(feature = "gpu")) => return Err(without("a GPU", "gpu")),
            Self::Gpu(adapter) => wait(open_adapter(adapter)),
            Self::Cuda(_) if cfg!(not(feature = "cuda")) => return Err(without("CUDA", "cuda")),
            Self::Cuda(index) => open_cuda(index),
        };
        compute.map_err(Failure::device)
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

/// The same, unless it is over before: then the future is given up. Whatever makes it so has to wake the future.
pub fn wait_unless<F: Future>(future: F, is_over: impl Fn() -> bool) -> Option<F::Output> {
    let mut future = pin!(future);
    wait(poll_fn(|context| {
        if is_over() {
            return Poll::Ready(None);
        }
        match future.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            // It may have become so meanwhile.
            Poll::Pending if is_over() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }))
}
