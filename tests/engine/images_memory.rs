//! Memory that is short: the page's side and the worker's together, with workers that die of too much.

use crate::page::Page;
use burn::tensor::Device;
use scorefield::diffusion::{Convention, now};
use scorefield::engine::images::{ImageModel, ImageRun, self_test};
use scorefield::lab::{DeviceChoice, ExperimentId, RunConfig, Word};
use scorefield::nn::checkpoint::{Precision, encode};
use scorefield::nn::device::{ComputeDevice, open};
use scorefield::nn::unet::UNetConfig;
use scorefield::protocol::images::{ImageEvent, ImageFrame, NamedBytes, Notice, WeightsSource};
use scorefield::protocol::{Bytes, Command, Event, Failure, FailureKind};
use scorefield::session::Action;
use scorefield::session::{Session, Slot, Status};

const GIB: u64 = 1 << 30;

/// The processor in the part of a GPU whose buffers hold so many bytes.
fn as_gpu(most_bytes: u64) -> ComputeDevice {
    let mut compute = now(open(DeviceChoice::Cpu)).expect("this build has the CPU device");
    compute.info.gpu = true;
    compute.most_bytes = most_bytes;
    compute
}

fn batch(config: &UNetConfig, side: usize, images: u32, compute: &ComputeDevice) -> usize {
    let model = ImageModel::new(config.init(0, &compute.device).unwrap(), Convention::ddpm(), side);
    let config = RunConfig { images, ..RunConfig::of_images() };
    ImageRun::new(config, &model, compute).unwrap().policy().batch()
}

#[test]
fn the_batch_follows_from_the_limits_of_the_adapter_and_the_size_of_the_network() {
    let cifar10 = UNetConfig::cifar10();
    let small = UNetConfig { channels: 32, ..UNetConfig::cifar10() };
    let of = |config: &UNetConfig, limit| batch(config, 32, 64, &as_gpu(limit));
    // A convolution may unfold its input ninefold, and the largest tensor must fit into one buffer so.
    let unfolded = 9 * cifar10.init(0, &Device::flex()).unwrap().cost(32).largest;
    assert_eq!(of(&cifar10, 2 * unfolded), 2);
    assert_eq!(of(&cifar10, 5 * unfolded + 1), 5);
    assert_eq!(of(&cifar10, 1), 1, "less than one image is none");
    // 128 MiB is the least that WebGPU promises for a buffer's binding.
    let (least, usual) = (of(&cifar10, GIB / 8), of(&cifar10, GIB));
    println!("128 channels: {least} images with 128 MiB, {usual} with 1 GiB; 32 channels: {}", of(&small, GIB / 8));
    assert!(1 < least && least < usual && usual <= 64, "{least} {usual}");
    assert!(of(&small, GIB / 8) > least);
    // No more than there are.
    assert_eq!(batch(&small, 32, 3, &as_gpu(GIB)), 3);
}

/// The page's session with workers that die of more than `most` images at a time.
struct Play {
    session: Session,
    slot: Slot,
    worker: Option<Page>,
    most: u32,
    died: u32,
    frames: Vec<ImageFrame>,
    notices: Vec<Notice>,
}

/// What a worker leaves behind.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// What the hook for panics says, then the trap.
    Words,
    /// The trap of a failed allocation alone.
    Silence,
    /// The device is lost and says so.
    Lost,
}

impl Play {
    fn new(most: u32) -> Self {
        let mut session = Session::new(DeviceChoice::Gpu, ExperimentId::Images);
        session.adapter(true);
        Self { session, slot: Slot::Gpu, worker: None, most, died: 0, frames: Vec::new(), notices: Vec::new() }
    }

    /// Does what the session wants, and lets the worker answer, until nothing is left to do.
    fn settle(&mut self, death: Death) {
        loop {
            let actions = self.session.take_actions();
            let idle = actions.is_empty();
            for action in actions {
                match action {
                    Action::Launch(slot) if slot == self.slot => self.worker = Some(Page::open_on(as_gpu(GIB))),
                    Action::Terminate(slot) if slot == self.slot => self.worker = None,
                    Action::Post(slot, command) if slot == self.slot => {
                        self.worker.as_mut().expect("a worker").post(command);
                    }
                    Action::Probe => {}
                    other => panic!("{other:?}"),
                }
            }
            let events = self.worker.as_mut().map(Page::settle).unwrap_or_default();
            if idle && events.is_empty() {
                return;
            }
            for event in events {
                if let Event::Images(ImageEvent::Batch { run, images }) = event
                    && images > self.most
                {
                    self.session.receive(self.slot, &event);
                    self.died += 1;
                    let words = |run, kind| Event::Failed {
                        run,
                        failure: Failure { kind, detail: "wgpu error: Out of Memory".into() },
                    };
                    match death {
                        Death::Words => {
                            self.session.receive(self.slot, &words(None, FailureKind::OutOfMemory));
                            // A page that ended the worker does not hear of the trap.
                            if self.session.failure().is_some() {
                                self.session.crashed(self.slot, "RuntimeError: unreachable");
                            }
                        }
                        Death::Silence => self.session.crashed(self.slot, "Uncaught RuntimeError: unreachable"),
                        Death::Lost => {
                            self.session.receive(self.slot, &words(Some(run), FailureKind::DeviceLost));
                        }
                    }
                    break;
                }
                if self.session.receive(self.slot, &event) {
                    match event {
                        Event::Images(ImageEvent::Frame { frame, .. }) => self.frames.push(frame),
                        Event::Images(ImageEvent::Notice { notice, .. }) => self.notices.push(notice),
                        _ => {}
                    }
                }
            }
        }
    }
}

fn own() -> WeightsSource {
    let config = UNetConfig {
        channels: 32,
        multipliers: vec![1, 1],
        layers: 1,
        attention_levels: vec![],
        ..UNetConfig::cifar10()
    };
    let parameters = config.init(0, &Device::flex()).unwrap().parameters();
    let values: Vec<Vec<f32>> = parameters.iter().map(|p| self_test::parameter(&p.name, &p.shape)).collect();
    let file = encode(&parameters, &values, Precision::Full).unwrap();
    WeightsSource::Files(vec![NamedBytes { name: "own.safetensors".into(), file: Bytes(file) }])
}

fn config() -> RunConfig {
    let defaults = RunConfig::of_images();
    RunConfig { images: 8, steps: 2, seed: 5, weights: Word::new("own"), ..defaults }
}

fn play(most: u32, death: Death) -> Play {
    let mut play = Play::new(most);
    play.settle(death);
    play.session.own_images(own());
    play.settle(death);
    play.session.sample(&config());
    play.settle(death);
    play
}

#[test]
fn a_worker_that_dies_of_too_many_images_is_replaced_by_one_that_takes_half_as_many() {
    let enough = play(8, Death::Words);
    assert_eq!((enough.died, enough.session.status()), (0, Status::Done));
    assert_eq!(enough.notices, []);
    for death in [Death::Words, Death::Silence, Death::Lost] {
        let mut short = play(2, death);
        assert_eq!((short.died, short.session.status()), (2, Status::Done), "{death:?}");
        assert_eq!(short.session.failure(), None);
        assert_eq!(short.notices, [Notice::SmallerBatch { images: 2 }], "{death:?}");
        let (found, expected) = (short.frames.last().unwrap(), enough.frames.last().unwrap());
        assert_eq!((found.step, found.images), (2, 8));
        // Products of other numbers of rows may be summed in another order.
        let close = found.noisy.0.iter().zip(&expected.noisy.0).all(|(a, b)| a.abs_diff(*b) <= 1);
        assert!(close, "{death:?}: another picture");
        // The next run begins with what is known.
        short.session.sample(&config());
        short.settle(death);
        assert_eq!((short.died, short.session.status()), (2, Status::Done), "{death:?}");
    }
}

#[test]
fn without_room_for_one_image_the_run_fails_and_says_why() {
    for (death, kind) in [
        (Death::Words, FailureKind::OutOfMemory),
        (Death::Silence, FailureKind::OutOfMemory),
        (Death::Lost, FailureKind::DeviceLost),
    ] {
        let short = play(0, death);
        // 8, 4, 2 and 1.
        assert_eq!((short.died, short.session.status()), (4, Status::Failed), "{death:?}");
        assert_eq!(short.session.failure().map(|f| f.kind), Some(kind));
        assert!(short.session.can_recover());
    }
}

#[test]
fn a_stop_while_the_next_worker_is_fetched_leaves_nothing_to_run() {
    let mut play = play(8, Death::Words);
    play.session.sample(&config());
    let posted = play.session.take_actions();
    let run = posted.iter().find_map(|action| match action {
        Action::Post(_, Command::Sample { run, .. }) => Some(*run),
        _ => None,
    });
    let run = run.expect("a run was posted");
    play.session.receive(Slot::Gpu, &Event::Images(ImageEvent::Batch { run, images: 8 }));
    play.session.crashed(Slot::Gpu, "Uncaught RuntimeError: unreachable");
    assert_eq!(play.session.status(), Status::Loading);
    play.session.stop();
    assert_ne!(play.session.status(), Status::Failed);
    play.settle(Death::Words);
    assert_eq!(play.session.status(), Status::Idle);
}
