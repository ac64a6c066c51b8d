//! Which device, and how many threads.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use clap::Args;

use super::count::count;
use super::failure::{Failure, Outcome};
use super::loss;
use crate::engine::image_trainer::ImageTrainer;
use crate::lab::DeviceChoice;
use crate::nn::device::{Adapter, open_adapter, open_cuda};
use crate::nn::device::{ComputeDevice, open};
use crate::nn::remote::open_remote;
use crate::nn::unet::ConfigError;

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceArg {
    /// A GPU if this program was built for one, the CPU otherwise.
    Auto,
    /// The processor.
    Cpu,
    /// A graphics card through Vulkan, Metal or DirectX.
    Gpu(Adapter),
    /// An NVIDIA card through CUDA, counted from 0.
    Cuda(usize),
    /// What `scorefield device` offers at `host:port`.
    Remote(String),
}

/// Name of the variable with the token of `scorefield device`: what is on a command line, everybody on a machine can read.
pub const TOKEN: &str = "SCOREFIELD_TOKEN";

/// The devices by their names, for messages.
const NAMES: &str = "auto, cpu, gpu, gpu:0 (a separate card by its number), gpu:integrated, gpu:software, cuda, cuda:0, \
     remote:HOST:PORT";

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
        Some(("remote", place)) if is_place(place) => DeviceArg::Remote(place.to_owned()),
        Some(_) => return Err(unknown()),
    })
}

/// Whether this is a host, whatever its name, and a port.
fn is_place(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
}

/// Where to compute.
#[derive(Args, Clone, Debug)]
pub struct DeviceArgs {
    /// Where to compute: auto (a GPU if this program was built for one), cpu, gpu (Vulkan, Metal or DirectX: the fastest;
    /// gpu:0, gpu:1 a separate card, gpu:integrated, gpu:software), cuda or cuda:1, or remote:HOST:PORT, another machine's
    /// that scorefield device offers. Training on images and evaluating them take several, such as gpu:0,gpu:1, which share
    /// the work
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
            _ => Err(Failure::usage("only train and evaluate on images take several devices: name one with --device")),
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
    fn open(&self) -> Outcome<ComputeDevice> {
        let without = |what: &str, feature: &str| {
            let build = format!("build it with --features cli,{feature}, or say --device cpu");
            Failure::device(format!("this program was built without {what}: {build}"))
        };
        let compute = match *self {
            Self::Auto if cfg!(all(feature = "cuda", not(feature = "gpu"))) => open_cuda(0),
            Self::Auto => wait(open(DeviceChoice::Auto)),
            Self::Cpu => wait(open(DeviceChoice::Cpu)),
            Self::Gpu(_) if cfg!(not(feature = "gpu")) => return Err(without("a GPU", "gpu")),
            Self::Gpu(adapter) => wait(open_adapter(adapter)),
            Self::Cuda(_) if cfg!(not(feature = "cuda")) => return Err(without("CUDA", "cuda")),
            Self::Cuda(index) => open_cuda(index),
            Self::Remote(_) if cfg!(not(feature = "remote")) => return Err(without("remote devices", "remote")),
            Self::Remote(ref place) => return open_through(place, place),
        };
        compute.map_err(Failure::device)
    }
}

/// Opens what `scorefield device` offers at one place, through another that leads there.
///
/// # Errors
/// When nobody answers, or refuses.
pub fn open_through(place: &str, line: &str) -> Outcome<ComputeDevice> {
    let mut compute = open_remote(line, &std::env::var(TOKEN).unwrap_or_default()).map_err(Failure::device)?;
    compute.info.name = format!("remote:{place}");
    loss::watch(place);
    Ok(compute)
}

/// The device that has a run's parameters and takes its steps: the first, or this machine's processor, where that is another
/// machine's.
///
/// # Errors
/// When there is none.
pub fn home(compute: &[ComputeDevice]) -> Outcome<ComputeDevice> {
    match compute {
        [] => Err(Failure::usage("name a device with --device")),
        [first, ..] if first.remote => DeviceArg::Cpu.open(),
        [first, ..] => Ok(first.clone()),
    }
}

/// Lets a run that was begun at [`home`] compute on all of these devices.
///
/// # Errors
/// [`ConfigError`] when there is no such network.
pub fn spread(trainer: &mut ImageTrainer, compute: &[ComputeDevice]) -> Result<(), ConfigError> {
    match compute {
        [first, ..] if first.remote => trainer.delegate(compute),
        [_, others @ ..] => trainer.share(others),
        [] => Ok(()),
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
