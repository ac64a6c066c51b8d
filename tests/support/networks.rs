//! What tests of networks share: the devices, numbers of golden files and of arrays, and how near they must be.

use scorefield::diffusion::now;
use scorefield::lab::DeviceChoice;
use scorefield::nn::array::Array;
use scorefield::nn::device::{ComputeDevice, open};
use serde_json::Value;

/// The numbers of a list, in double precision.
pub fn doubles(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
}

/// The numbers of a list, in single precision.
pub fn numbers(value: &Value) -> Vec<f32> {
    doubles(value).into_iter().map(|v| v as f32).collect()
}

/// The numbers of an array.
pub fn read(array: Array) -> Vec<f32> {
    now(array.read()).expect("numbers")
}

/// The CPU.
pub fn cpu() -> ComputeDevice {
    now(open(DeviceChoice::Cpu)).expect("this build has the CPU device")
}

/// The CPU, and a device that records operations, which is worked on in tensor operations as a GPU is.
pub fn devices() -> [ComputeDevice; 2] {
    let mut recording = cpu();
    recording.device = recording.device.autodiff();
    [cpu(), recording]
}

/// That numbers are those expected, to this tolerance of one and of each.
#[track_caller]
pub fn assert_close<A: Copy + Into<f64>, B: Copy + Into<f64>>(what: &str, ours: &[A], theirs: &[B], tolerance: f64) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        let (a, b): (f64, f64) = ((*a).into(), (*b).into());
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{what}, number {i}: {a} and {b}");
    }
}
