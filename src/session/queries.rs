//! What the page asks the session in order to show it.

use super::events::network;
use super::{Phase, Run, Session, Slot, Status, Work};
use crate::lab::{DeviceChoice, DeviceInfo, ExperimentId, RunConfig, planned_evaluations};
use crate::protocol::{Benchmark, Failure, FailureKind};

impl Session {
    /// The one word. A run that goes on is told of whatever else went wrong beside it.
    #[must_use]
    pub fn status(&self) -> Status {
        let there = |run: &&Run| self.phase(run.slot) == Phase::Ready;
        let run = self.run.as_ref();
        if let Some(run) = run.filter(|run| run.is_going()) {
            return if there(&run) { run.state } else { Status::Loading };
        }
        if self.failure.is_some() {
            return Status::Failed;
        }
        let slot = run.filter(there).map_or(self.active(), |run| run.slot);
        match self.phase(slot) {
            Phase::Ready => run.map_or(Status::Idle, |run| run.state),
            Phase::Fetching(_) => Status::Loading,
            Phase::Absent if slot != Slot::Gpu || self.adapter.is_none() => Status::Loading,
            Phase::Absent | Phase::Dead => Status::Failed,
        }
    }

    /// What went wrong, while nothing has been done about it.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    /// The worker that the next run goes to. A network of images is always faster on a real GPU; small networks have
    /// to be measured.
    #[must_use]
    pub fn active(&self) -> Slot {
        match self.choice {
            DeviceChoice::Cpu => self.processor(),
            DeviceChoice::Gpu => Slot::Gpu,
            DeviceChoice::Remote => Slot::Remote,
            DeviceChoice::Auto if self.experiment == ExperimentId::Images => {
                let real = self.info(Slot::Gpu).is_some_and(|info| !info.software);
                if real && self.phase(Slot::Gpu) == Phase::Ready { Slot::Gpu } else { Slot::Cpu }
            }
            DeviceChoice::Auto if self.faster == Some(Slot::Gpu) && self.device(Slot::Gpu).phase == Phase::Ready => {
                Slot::Gpu
            }
            DeviceChoice::Auto => self.processor(),
        }
    }

    /// The processor's worker that knows the experiment.
    pub(super) fn processor(&self) -> Slot {
        if matches!(self.experiment, ExperimentId::Study(_)) { Slot::Study } else { Slot::Cpu }
    }

    /// How far a worker is.
    #[must_use]
    pub fn phase(&self, slot: Slot) -> Phase {
        self.device(slot).phase
    }

    /// What a worker computes on, once it has said so.
    #[must_use]
    pub fn info(&self, slot: Slot) -> Option<&DeviceInfo> {
        self.device(slot).info.as_ref()
    }

    /// A worker's timings, once measured.
    #[must_use]
    pub fn timings(&self, slot: Slot) -> Option<&Benchmark> {
        self.device(slot).benchmark.as_ref()
    }

    /// Seconds that training and sampling of this configuration take on the device in use, by its timings; none where another
    /// network was timed, or none is trained.
    #[must_use]
    pub fn estimate(&self, config: &RunConfig) -> Option<[f64; 2]> {
        let device = self.device(self.active());
        let timed = network(config).is_some_and(|network| device.timed == Some(network));
        let timings = device.benchmark.as_ref().filter(|_| timed)?;
        let evaluations = f64::from(planned_evaluations(config).unwrap_or(config.steps));
        let sample_ms = timings.evaluation_ms / f64::from(timings.samples.max(1));
        let milliseconds = [
            timings.training_step_ms * f64::from(config.training_steps),
            sample_ms * evaluations * f64::from(config.samples),
        ];
        Some(milliseconds.map(|milliseconds| milliseconds / 1000.0))
    }

    /// The network of this configuration, if it is to be timed: there is time, and no estimate.
    #[must_use]
    pub fn untimed(&self, config: &RunConfig) -> Option<[u32; 3]> {
        let idle = matches!(self.status(), Status::Idle | Status::Done);
        network(config).filter(|_| idle && self.estimate(config).is_none())
    }

    /// Whether there is an adapter for WebGPU; `None` while that is not known.
    #[must_use]
    pub fn has_adapter(&self) -> Option<bool> {
        self.adapter
    }

    /// What the visitor wishes.
    #[must_use]
    pub fn chosen_device(&self) -> DeviceChoice {
        self.choice
    }

    /// What the current or last run does.
    #[must_use]
    pub fn work(&self) -> Option<Work> {
        self.run.as_ref().map(|run| run.work)
    }

    /// The worker of the current or last run; without one that of the next.
    #[must_use]
    pub fn running_slot(&self) -> Slot {
        self.run.as_ref().map_or(self.active(), |run| run.slot)
    }

    /// Whether a run goes on or is held.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.run.as_ref().is_some_and(Run::is_going)
    }

    /// Whether there is something to go back to after the failure: what only a visitor can mend is not mended by trying
    /// again.
    #[must_use]
    pub fn can_recover(&self) -> bool {
        use FailureKind as Kind;
        let mended =
            [Kind::NoDevice, Kind::DeviceLost, Kind::Disconnected, Kind::Internal, Kind::OutOfMemory, Kind::Diverged];
        self.failure.as_ref().is_some_and(|failure| mended.contains(&failure.kind))
    }

    /// Whether it is time to compare the two devices: both are there, the choice is free and nothing is going on.
    #[must_use]
    pub fn wants_comparison(&self) -> bool {
        self.choice == DeviceChoice::Auto
            && self.experiment == ExperimentId::Plane
            && !self.compared
            && Slot::HERE.iter().all(|&slot| self.phase(slot) == Phase::Ready)
            && matches!(self.status(), Status::Idle | Status::Done)
    }

    /// Whether timings are being taken.
    #[must_use]
    pub fn is_comparing(&self) -> bool {
        self.comparing.is_some()
    }
}
