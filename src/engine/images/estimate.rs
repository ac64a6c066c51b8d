//! How long an evaluation takes here, measured before anybody waits for a run.

use super::pictures::{Pictures, finish};
use crate::engine::inbox::{Inbox, Port, ends_a_load};
use crate::nn::cpu::has_room;
use crate::nn::device::ComputeDevice;
use crate::nn::unet::UNet;
use crate::rng::{Rng, Stream};

/// Most products of an evaluation that is measured: one that takes a second or so, during which nobody is listened to.
const MOST_PRODUCTS: u64 = 8_000_000_000;
/// The time that the network is told.
const TIME: f64 = 400.0;

/// Milliseconds of one evaluation of one image on the CPU: the second of two, for the first also asks for memory. Of larger
/// images than can be measured in a moment smaller ones are, and the time is that share of the products larger. 0 where
/// there is no room; `None` when a command ended the load.
pub async fn evaluation_ms<P: Port>(
    network: &UNet,
    side: usize,
    compute: &ComputeDevice,
    inbox: &mut Inbox<'_, P>,
) -> Option<f64> {
    let multiple = network.config().size_multiple();
    let mut small = side;
    while network.cost(small).products > MOST_PRODUCTS && small.is_multiple_of(2 * multiple) {
        small /= 2;
    }
    let cost = network.cost(small);
    if !has_room(cost.bytes) {
        return Some(0.0);
    }
    let shape = [1, network.config().image_channels, small, small];
    let x = Pictures::new(Rng::new(1, Stream::Test, 0).normals(shape.iter().product()), shape, &compute.device).0;
    let mut took = 0.0;
    for _ in 0..2 {
        inbox.port.yield_now().await;
        inbox.unless(ends_a_load, std::future::ready(())).await?;
        let begin = inbox.port.now_ms();
        // What cannot be evaluated is said by the run that tries.
        let Ok(condition) = network.condition(&[TIME], &[]) else { return Some(0.0) };
        if finish(&network.forward(x.clone(), &condition)).await.is_err() {
            return Some(0.0);
        }
        took = inbox.port.now_ms() - begin;
    }
    Some(took * network.cost(side).products as f64 / cost.products.max(1) as f64)
}
