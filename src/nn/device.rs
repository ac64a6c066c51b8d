//! Opening the device.

#[cfg(feature = "gpu")]
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, Tensor};
use thiserror::Error;

use crate::lab::{DeviceChoice, DeviceInfo};

/// Why there is no device.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DeviceError {
    /// This program was built without such a device.
    #[error("this program was built without {choice}")]
    NotBuilt {
        /// What was asked for.
        choice: &'static str,
    },
    /// WebGPU is not there, or refuses.
    #[error("WebGPU could not be started: {0}")]
    Init(String),
    /// There is no device of this number.
    #[error("there is no CUDA device {asked}: this machine has {found}")]
    Absent {
        /// The number asked for, from 0.
        asked: usize,
        /// How many there are.
        found: usize,
    },
    /// A device of another machine cannot be had.
    #[error("remote:{place} cannot be used: {why}")]
    Remote {
        /// `host:port` of its server.
        place: String,
        /// What is in the way.
        why: String,
    },
    /// This device cannot be offered to other machines.
    #[error("the device cannot be served: {0}")]
    Serving(String),
    /// The device said of something that it had been told before that it could not be done.
    #[error("the device reported an error: {0}")]
    Reported(String),
    /// The device stopped answering.
    #[error("the device was lost: {0}")]
    Lost(String),
}

/// A device that is ready for work.
#[derive(Clone, Debug)]
pub struct ComputeDevice {
    /// Burn's handle.
    pub device: Device,
    /// What it is.
    pub info: DeviceInfo,
    /// Most bytes of one tensor.
    pub most_bytes: u64,
    /// Whether it is another machine's: what is read from it travels, and it may be gone at any time.
    pub remote: bool,
}

/// Which of the graphics cards that WebGPU, Vulkan, Metal or DirectX know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adapter {
    /// The fastest.
    Best,
    /// A separate card, counted from 0.
    Discrete(usize),
    /// The first that is part of the processor.
    Integrated,
    /// One that only the processor pretends to be, such as Mesa's llvmpipe.
    Software,
}

/// Opens a graphics card, once and before any tensor is made.
///
/// # Errors
/// A [`DeviceError`] when it is not there, or this program was built without.
pub async fn open_adapter(adapter: Adapter) -> Result<ComputeDevice, DeviceError> {
    gpu(adapter).await
}

/// Opens the CUDA device of this number, counted from 0.
///
/// # Errors
/// A [`DeviceError`] when it is not there, or this program was built without.
#[cfg(feature = "cuda")]
pub fn open_cuda(index: usize) -> Result<ComputeDevice, DeviceError> {
    // Asking for the number of devices is the only question that does not end the program where there is no driver.
    let found = Device::enumerate(burn::tensor::DeviceType::Cuda).into_iter().count();
    if index >= found {
        return Err(DeviceError::Absent { asked: index, found });
    }
    let info = DeviceInfo { gpu: true, name: format!("CUDA device {index}"), software: false };
    Ok(ComputeDevice { device: Device::cuda(index), info, most_bytes: u64::MAX, remote: false })
}

/// Opens the CUDA device of this number, counted from 0.
///
/// # Errors
/// A [`DeviceError`]: this program was built without.
#[cfg(not(feature = "cuda"))]
pub fn open_cuda(_: usize) -> Result<ComputeDevice, DeviceError> {
    Err(DeviceError::NotBuilt { choice: "CUDA" })
}

/// Opens a device. `Auto` takes the best this worker was built with: WebGPU before the CPU. Call it once, before any
/// tensor is made: WebGPU cannot be started twice.
///
/// # Errors
/// A [`DeviceError`]: a device that was asked for and is not there is never replaced by another.
pub async fn open(choice: DeviceChoice) -> Result<ComputeDevice, DeviceError> {
    match choice {
        DeviceChoice::Cpu => cpu(),
        DeviceChoice::Gpu => gpu(Adapter::Best).await,
        DeviceChoice::Auto if cfg!(feature = "gpu") => gpu(Adapter::Best).await,
        DeviceChoice::Auto => cpu(),
        // It is the page that reaches another machine, and never an engine.
        DeviceChoice::Remote => Err(DeviceError::NotBuilt { choice: "another machine" }),
    }
}

#[cfg(feature = "cpu")]
fn cpu() -> Result<ComputeDevice, DeviceError> {
    let vectors = match (cfg!(target_arch = "wasm32"), cfg!(target_feature = "simd128"), kernels::lanes::RELAXED) {
        (true, _, true) => "WebAssembly, relaxed simd128",
        (true, true, _) => "WebAssembly, simd128",
        (true, ..) => "WebAssembly",
        _ => std::env::consts::ARCH,
    };
    let info = DeviceInfo { gpu: false, name: format!("Burn Flex ({vectors})"), software: false };
    Ok(ComputeDevice { device: Device::flex(), info, most_bytes: u64::MAX, remote: false })
}

#[cfg(not(feature = "cpu"))]
fn cpu() -> Result<ComputeDevice, DeviceError> {
    Err(DeviceError::NotBuilt { choice: "a CPU device" })
}

/// The first error of a graphics device. It tells of one only so, and goes on answering, with what it was not asked for: nothing
/// that is read from then on is worth anything, and who computes has to begin anew.
#[cfg(feature = "gpu")]
static REPORTED: Mutex<Option<String>> = Mutex::new(None);

/// Whether every device has done what it was told so far, as far as it has said.
///
/// # Errors
/// [`DeviceError::Reported`], from the first time on.
fn reported() -> Result<(), DeviceError> {
    #[cfg(feature = "gpu")]
    if let Some(error) = REPORTED.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
        return Err(DeviceError::Reported(error.clone()));
    }
    Ok(())
}

/// Software adapters that were opened.
#[cfg(feature = "gpu")]
static SOFTWARE: Mutex<Vec<Device>> = Mutex::new(Vec::new());

/// Whether a device was opened here and is one that only the processor pretends to be.
#[cfg(feature = "gpu")]
#[must_use]
pub fn is_software(device: &Device) -> bool {
    SOFTWARE.lock().unwrap_or_else(PoisonError::into_inner).contains(device)
}

#[cfg(feature = "gpu")]
async fn gpu(adapter: Adapter) -> Result<ComputeDevice, DeviceError> {
    use burn::tensor::DeviceKind;
    let options = Device::wgpu_options();
    let options = match adapter {
        Adapter::Best => options,
        Adapter::Discrete(index) => options.device_kind(DeviceKind::DiscreteGpu(index)),
        Adapter::Integrated => options.device_kind(DeviceKind::IntegratedGpu(0)),
        Adapter::Software => options.device_kind(DeviceKind::Cpu),
    };
    let started = options.init_with_setup_async().await;
    let (device, setup) = started.map_err(|error| DeviceError::Init(error.to_string()))?;
    let adapter = setup.adapter.get_info();
    let words = format!("{} {} {}", adapter.name, adapter.driver, adapter.driver_info).to_lowercase();
    // Browsers hide the adapter's type; software renderers go by these names.
    let software = adapter.device_type == wgpu::DeviceType::Cpu
        || ["swiftshader", "llvmpipe", "lavapipe", "software", "microsoft basic render"]
            .iter()
            .any(|w| words.contains(w));
    let name = [adapter.name, adapter.driver_info].into_iter().find(|n| !n.trim().is_empty());
    let name = name.unwrap_or_else(|| "WebGPU".to_owned());
    let limits = setup.device.limits();
    let most_bytes = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    // Without it natively the program would end.
    setup.device.on_uncaptured_error(Arc::new(|error: wgpu::Error| {
        REPORTED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.to_string());
    }));
    if software {
        SOFTWARE.lock().unwrap_or_else(PoisonError::into_inner).push(device.clone());
    }
    Ok(ComputeDevice { device, info: DeviceInfo { gpu: true, name, software }, most_bytes, remote: false })
}

#[cfg(not(feature = "gpu"))]
async fn gpu(_: Adapter) -> Result<ComputeDevice, DeviceError> {
    Err(DeviceError::NotBuilt { choice: "WebGPU" })
}

/// Reads a tensor back.
///
/// # Errors
/// [`DeviceError::Lost`] when the device no longer answers, [`DeviceError::Reported`] when it could not do what it was told.
pub async fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, DeviceError> {
    let data = tensor.into_data_async().await.map_err(|error| DeviceError::Lost(error.to_string()))?;
    reported()?;
    data.try_into_vec().map_err(|error| DeviceError::Lost(error.to_string()))
}
