//! What a visitor can do, as the page lets them, and what happens by chance meanwhile.

use scorefield::lab::images::OWN_WEIGHTS;
use scorefield::lab::{DenoiserId, DeviceChoice, ExperimentId, RunConfig, Word};
use scorefield::protocol::images::{NamedAddress, WeightsSource};
use scorefield::protocol::{Bytes, Command, Event, FailureKind, Floats, ImageCommand};
use scorefield::session::{Session, Slot, Status, Work};

use super::super::session_worker::{Lineage, Tag, Worker, file_of, tag_of};
use super::{Kept, World, failure, run_of};

impl World {
    pub(super) fn run(&mut self, say: impl FnOnce(&mut Session)) -> Kept {
        self.promised = self.kept();
        self.tell(say)
    }

    /// A run of images: a worker with other weights, or none, is given those.
    fn sample_images(&mut self, config: &RunConfig) -> Kept {
        let slot = self.session.active();
        let lacks = |worker: &Worker| {
            let quiet = worker.heard && worker.rests() && worker.outbox.is_empty();
            quiet && worker.model.as_deref() != Some(config.weights.as_str())
        };
        let lacking = config.weights.as_str() != OWN_WEIGHTS && self.workers[slot as usize].as_ref().is_some_and(lacks);
        self.run(|session| session.sample(config))?;
        let is_load = |command: &Command| matches!(command, Command::Images(ImageCommand::Load { .. }));
        let given = self.workers[slot as usize].as_ref().is_some_and(|worker| worker.inbox.iter().any(is_load));
        rule!(given || !lacking, "{slot:?} has not the weights {:?}, and is given none", config.weights.as_str());
        Ok(())
    }

    fn train(&mut self, then_sample: bool) -> Kept {
        self.time += 1;
        self.training_asked = self.time;
        let config = self.config.clone();
        self.run(|session| session.train(&config, then_sample))
    }

    pub(super) fn restart(&mut self, config: &RunConfig) -> Kept {
        if self.session.work() == Some(Work::Training) {
            self.time += 1;
            self.training_asked = self.time;
        }
        self.run(|session| session.restart(config))
    }

    pub(super) fn write_device(&mut self, choice: DeviceChoice) -> Kept {
        self.config.device = choice;
        self.tell(|session| session.choose_device(choice))
    }

    /// As the menu of experiments does, and what follows from it.
    pub(super) fn write_experiment(&mut self, experiment: ExperimentId) -> Kept {
        let device = self.config.device;
        self.config = match experiment {
            ExperimentId::Images => RunConfig::of_images(),
            experiment => RunConfig { experiment, ..RunConfig::default() },
        };
        self.config.device = device;
        self.tell(Session::start_afresh)?;
        self.tell(|session| {
            session.show_experiment(experiment);
            session.start_afresh();
        })
    }

    fn import(&mut self, good: bool) -> Kept {
        self.time += 1;
        self.files += 1;
        let tag = good.then_some(Tag { lineage: self.files, step: 7 });
        if let Some(tag) = tag {
            self.asked.insert(tag.lineage, self.time);
        }
        self.imports.push((self.time, tag, self.notices));
        let file = tag.map_or(Bytes(vec![1, 2, 3]), file_of);
        self.tell(|session| session.import(file))?;
        if self.session.failure().is_some() {
            // The same as before, perhaps, but said anew.
            self.told();
        }
        Ok(())
    }

    /// The page is loaded again: what the tab kept is all there is.
    fn come_back(&mut self) -> Kept {
        let kept = self.session.checkpoint().cloned();
        self.workers = Default::default();
        self.ghosts.clear();
        self.imports.clear();
        (self.probes, self.exports, self.excused) = (0, 0, 0);
        (self.current, self.shown) = (None, None);
        self.session = Session::new(self.config.device, self.config.experiment);
        let names: Vec<Lineage> = self.asked.keys().copied().filter(|name| *name < 1_000_000).collect();
        // Names begin anew: what was trained before gets one that no run will have.
        let mut file = kept;
        if let Some(kept) = &mut file
            && let Some(mut tag) = tag_of(&kept.file)
        {
            let asked = self.asked.get(&tag.lineage).copied().unwrap_or(0);
            self.files += 1;
            tag.lineage = self.files;
            self.asked.insert(tag.lineage, asked);
            kept.file = file_of(tag);
        }
        for name in names {
            self.asked.remove(&name);
        }
        self.promises.clear();
        if let Some(kept) = file {
            self.session.restore(kept.file, kept.step);
        }
        let config = self.config.clone();
        self.tell(|session| {
            session.show_experiment(config.experiment);
        })
    }

    /// One thing that happens. What cannot happen now does not.
    pub fn step(&mut self, chance: u32) -> Kept {
        let (what, luck) = (chance % 64, chance / 64);
        let slot = Slot::ALL[(luck % 4) as usize];
        let fate = luck / 4;
        let live = Slot::ALL.into_iter().filter(|&slot| self.workers[slot as usize].is_some()).collect::<Vec<_>>();
        let some = live.get(fate as usize % live.len().max(1)).copied();
        let (status, experiment) = (self.session.status(), self.config.experiment);
        let going = matches!(status, Status::Running | Status::Paused);
        let plane = experiment == ExperimentId::Plane;
        let images = experiment == ExperimentId::Images;
        let config = self.config.clone();
        match what {
            // The browser and the workers: half of all that happens.
            0..=2 if self.probes > 0 => {
                self.probes -= 1;
                let present = self.has_adapter;
                self.tell(|session| session.adapter(present))
            }
            0..=9 => match some.and_then(|slot| self.worker(slot)) {
                Some(worker) if !worker.begun => {
                    worker.begin(fate.is_multiple_of(5));
                    Ok(())
                }
                Some(worker) => {
                    worker.obey(Some(luck));
                    self.judge_used()
                }
                None => Ok(()),
            },
            10..=15 => {
                if let Some(worker) = some.and_then(|slot| self.worker(slot))
                    && worker.job.as_ref().is_some_and(|job| !job.paused)
                    && worker.inbox.is_empty()
                {
                    worker.go_on(Some(luck));
                }
                Ok(())
            }
            16..=27 => some.map_or(Ok(()), |slot| self.hear(slot)),
            28 => self.tell(|session| session.progress(slot, 0.5)),
            29 => match fate % 6 {
                0 => self.kill(slot, "unreachable executed"),
                1 => self.kill(slot, "it died"),
                2 if self.worker(slot).is_some_and(|worker| worker.begun) => {
                    let last =
                        failure(if luck.is_multiple_of(2) { FailureKind::Internal } else { FailureKind::OutOfMemory });
                    self.receive(slot, &Event::Failed { run: None, failure: last })?;
                    self.kill(slot, "unreachable executed")
                }
                3 if matches!(slot, Slot::Gpu) => {
                    if let Some(worker) = self.worker(slot).filter(|worker| worker.begun) {
                        worker.lost = true;
                        if worker.job.is_some() {
                            worker.go_on(None);
                        }
                    }
                    Ok(())
                }
                4 if matches!(slot, Slot::Remote | Slot::Gpu) && self.worker(slot).is_some() => {
                    let begun = self.worker(slot).is_some_and(|worker| worker.begun);
                    let kind = match (slot, begun) {
                        (Slot::Remote, true) => FailureKind::Disconnected,
                        (_, true) => FailureKind::DeviceLost,
                        _ => FailureKind::NoDevice,
                    };
                    self.lose(slot, kind)
                }
                5 if fate.is_multiple_of(12) && self.worker(slot).is_some() => self.lose(slot, FailureKind::Outdated),
                _ => Ok(()),
            },
            30 => match self.ghosts.pop_front() {
                Some((slot, event)) if run_of(&event) != self.current => self.receive(slot, &event),
                _ => Ok(()),
            },
            31 if fate.is_multiple_of(4) => self.come_back(),
            // The visitor.
            32..=34 if plane => self.train(luck.is_multiple_of(2)),
            35..=37 if images => self.sample_images(&config),
            35..=37 if plane => self.run(|session| session.sample(&config)),
            38 if !plane && !images => self.run(|session| session.study(&config)),
            39 if plane => self.run(|session| session.likelihood(&config)),
            40 if plane && matches!(status, Status::Idle | Status::Done) => {
                self.run(|session| session.inspect(&config, Floats(vec![0.0; 4])))
            }
            41 | 42 if going => {
                let held = status == Status::Paused;
                self.tell(|session| if held { session.resume() } else { session.pause() })
            }
            43 if going => self.tell(Session::step),
            44 | 45 if going => self.tell(Session::stop),
            46 => self.restart(&config),
            47 => {
                let choice = DeviceChoice::ALL[fate as usize % DeviceChoice::ALL.len()];
                self.config.device = choice;
                self.tell(|session| {
                    session.start_afresh();
                    session.choose_device(choice);
                })
            }
            48 | 49 => self.write_device(DeviceChoice::ALL[fate as usize % DeviceChoice::ALL.len()]),
            50 | 51 => {
                let study = ExperimentId::named("forward").expect("a study");
                let all = [ExperimentId::Plane, ExperimentId::Plane, ExperimentId::Images, study];
                self.write_experiment(all[fate as usize % all.len()])
            }
            52 => self.tell(Session::dismiss),
            53 if self.session.has_weights() => {
                self.exports += 1;
                self.tell(Session::export)
            }
            54 => self.import(!fate.is_multiple_of(3)),
            55 if plane => {
                self.config.denoiser = if luck.is_multiple_of(2) { DenoiserId::Exact } else { DenoiserId::Trained };
                Ok(())
            }
            56 if plane
                && self.session.has_weights()
                && matches!(status, Status::Idle | Status::Done | Status::Paused) =>
            {
                self.tell(|session| {
                    session.field(&config, 0.5, 8);
                })
            }
            57 if !self.session.is_comparing()
                && !self.session.is_examining()
                && !going
                && status != Status::Loading =>
            {
                if images {
                    self.tell(|session| session.measure_images(&config, &[1], 1.0))
                } else {
                    self.tell(|session| session.compare(&config))
                }
            }
            58 if images && !self.session.is_examining() && !going => self.tell(Session::test_images),
            59 | 60 if images => {
                let names = ["", "a", "hub:x/y", OWN_WEIGHTS];
                self.config.weights = Word::new(names[fate as usize % names.len()]);
                Ok(())
            }
            61 if images => match fate % 3 {
                0 => self.tell(|session| session.load_images(&config)),
                1 => {
                    let file = NamedAddress { name: "a.ckpt".to_owned(), address: "blob:1".to_owned() };
                    self.tell(|session| session.own_images(WeightsSource::Addresses(vec![file])))
                }
                _ => self.tell(|session| session.use_cores(luck % 4)),
            },
            62 if images && self.session.asks_for_model(&config) => {
                self.run(|session| session.fetch_model(&config, "https://hub", luck.is_multiple_of(3)))
            }
            63 if images => self.tell(Session::cancel_images),
            _ => Ok(()),
        }
    }
}
