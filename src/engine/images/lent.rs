//! A network that another worker lends this one, so that it evaluates images for it.

use burn::tensor::Device;

use super::error::ImageError;
use super::pictures::{Pictures, read};
use crate::engine::error::EngineError;
use crate::nn::device::Opened;
use crate::nn::unet::{UNet, UNetConfig};
use crate::protocol::{Event, Floats, Order};

/// Longest side of an image that is evaluated for others.
const LONGEST_SIDE: u32 = 4096;

/// A network of another worker's.
pub enum Lent {
    /// Not all numbers are there yet.
    Arriving {
        /// Without its numbers.
        network: UNet,
        /// How many numbers each parameter has.
        counts: Vec<usize>,
        /// The numbers of the first ones.
        arrived: Vec<Vec<f32>>,
    },
    /// It can be evaluated.
    Whole(UNet),
}

fn internal(words: &str) -> ImageError {
    ImageError::Internal(words.to_owned())
}

/// Does what another worker asks for, and says what to answer, if anything.
///
/// # Errors
/// [`ImageError::Internal`] for what makes no sense, and what the device says.
pub async fn obey(lent: &mut Option<Lent>, order: Order, opened: &Opened) -> Result<Option<Event>, EngineError> {
    match (order, lent.take()) {
        (Order::Lend { network }, _) => *lent = Some(Lent::new(&network, &opened.device)?),
        (Order::Numbers { numbers }, Some(Lent::Arriving { network, counts, arrived })) => {
            *lent = Some(filled(network, counts, arrived, numbers.0)?);
        }
        (Order::Evaluate { ask, image, side, time, class }, Some(Lent::Whole(network))) => {
            let output = evaluate(&network, image.0, side, time, class, &opened.device).await;
            *lent = Some(Lent::Whole(network));
            return Ok(Some(Event::Evaluated { ask, output: Floats(output?) }));
        }
        _ => return Err(internal("no network is there for this").into()),
    }
    Ok(None)
}

impl Lent {
    fn new(network: &str, device: &Device) -> Result<Self, ImageError> {
        let config: UNetConfig = serde_json::from_str(network).map_err(|error| internal(&error.to_string()))?;
        let network = config.init(0, device).map_err(|error| internal(&error.to_string()))?;
        let counts = network.parameters().iter().map(|parameter| parameter.count()).collect();
        Ok(Self::Arriving { network, counts, arrived: Vec::new() })
    }
}

fn filled(
    network: UNet,
    counts: Vec<usize>,
    mut arrived: Vec<Vec<f32>>,
    numbers: Vec<f32>,
) -> Result<Lent, ImageError> {
    if counts.get(arrived.len()) != Some(&numbers.len()) {
        return Err(internal("these are not the numbers of a parameter"));
    }
    arrived.push(numbers);
    if arrived.len() < counts.len() {
        return Ok(Lent::Arriving { network, counts, arrived });
    }
    let mut arrived = arrived.into_iter();
    network.load(|_, _| arrived.next().ok_or_else(|| internal("a parameter is missing"))).map(Lent::Whole)
}

async fn evaluate(
    network: &UNet,
    image: Vec<f32>,
    side: u32,
    time: f64,
    class: Option<u32>,
    device: &Device,
) -> Result<Vec<f32>, EngineError> {
    let channels = network.config().image_channels;
    let known = (1..=LONGEST_SIDE).contains(&side);
    let side = side as usize;
    if !known || !side.is_multiple_of(network.config().size_multiple()) || image.len() != channels * side * side {
        return Err(internal("this is no image for the network").into());
    }
    let x = Pictures::new(image, [1, channels, side, side], device);
    let condition = network.condition(&[time], &[class.map(|class| class as usize)]);
    let condition = condition.map_err(|error| internal(&error.to_string()))?;
    Ok(read(network.forward(x.0, &condition)).await?)
}
