//! Remote model: the network of another worker, for which this one evaluates images.

use burn::tensor::Device;

use super::pictures::Pictures;
use crate::engine::error::{EngineError, ImageError};
use crate::nn::device::{ComputeDevice, read};
use crate::nn::unet::{UNet, UNetConfig};
use crate::protocol::{Event, Floats, PoolRequest};

/// Largest side of an image, in pixels.
const LONGEST_SIDE: u32 = 4096;

/// Network of another worker.
pub enum RemoteModel {
    /// Parameters are still arriving.
    Loading {
        /// Network without its parameters.
        network: UNet,
        /// Number of values of every parameter.
        counts: Vec<usize>,
        /// Values of the first parameters.
        received: Vec<Vec<f32>>,
    },
    /// Ready to be evaluated.
    Ready(UNet),
}

fn internal(words: &str) -> ImageError {
    ImageError::Internal(words.to_owned())
}

/// Handles a request of another worker; the answer, if there is one.
///
/// # Errors
/// [`ImageError::Internal`] for what makes no sense, and what the device says.
pub async fn handle(
    remote_model: &mut Option<RemoteModel>,
    request: PoolRequest,
    compute: &ComputeDevice,
) -> Result<Option<Event>, EngineError> {
    match (request, remote_model.take()) {
        (PoolRequest::Begin { network }, _) => *remote_model = Some(RemoteModel::new(&network, &compute.device)?),
        (PoolRequest::Parameter { numbers }, Some(RemoteModel::Loading { network, counts, received })) => {
            *remote_model = Some(filled(network, counts, received, numbers.0)?);
        }
        (PoolRequest::Evaluate { id, images, side, time, classes }, Some(RemoteModel::Ready(network))) => {
            let output = evaluate(&network, images.0, side, time, &classes, &compute.device).await;
            *remote_model = Some(RemoteModel::Ready(network));
            return Ok(Some(Event::Evaluated { id, output: Floats(output?) }));
        }
        _ => return Err(internal("no network is there for this").into()),
    }
    Ok(None)
}

impl RemoteModel {
    fn new(network: &str, device: &Device) -> Result<Self, ImageError> {
        let config: UNetConfig = serde_json::from_str(network).map_err(|error| internal(&error.to_string()))?;
        let network = config.init(0, device).map_err(|error| internal(&error.to_string()))?;
        let counts = network.parameters().iter().map(|parameter| parameter.count()).collect();
        Ok(Self::Loading { network, counts, received: Vec::new() })
    }
}

fn filled(
    network: UNet,
    counts: Vec<usize>,
    mut received: Vec<Vec<f32>>,
    numbers: Vec<f32>,
) -> Result<RemoteModel, ImageError> {
    if counts.get(received.len()) != Some(&numbers.len()) {
        return Err(internal("these are not the numbers of a parameter"));
    }
    received.push(numbers);
    if received.len() < counts.len() {
        return Ok(RemoteModel::Loading { network, counts, received });
    }
    let mut received = received.into_iter();
    network.load(|_, _| received.next().ok_or_else(|| internal("a parameter is missing"))).map(RemoteModel::Ready)
}

async fn evaluate(
    network: &UNet,
    images: Vec<f32>,
    side: u32,
    time: f64,
    classes: &[Option<u32>],
    device: &Device,
) -> Result<Vec<f32>, EngineError> {
    let channels = network.config().image_channels;
    let known = (1..=LONGEST_SIDE).contains(&side);
    let side = side as usize;
    let fits = known && !classes.is_empty() && side.is_multiple_of(network.config().size_multiple());
    // Divided and not multiplied, for the number of classes is anybody's.
    if !fits || !images.len().is_multiple_of(classes.len()) || images.len() / classes.len() != channels * side * side {
        return Err(internal("these are no images for the network").into());
    }
    let x = Pictures::new(images, [classes.len(), channels, side, side], device);
    let labels: Vec<Option<usize>> = classes.iter().map(|class| class.map(|class| class as usize)).collect();
    let condition = network.condition(&[time], &labels);
    let condition = condition.map_err(|error| internal(&error.to_string()))?;
    Ok(read(network.forward(x.0, &condition)).await?)
}
