//! What the page says: the introduction, the state of the run, the device, and what went wrong.

use leptos::prelude::*;

use super::images;
use super::state::{changing, flag, memo, page, t, text};
use crate::lab::session::{Phase, Work};
use crate::lab::{Correction, DeviceWish, Session, Slot, Status, planned_evaluations};
use crate::plot::label::number;
use crate::protocol::Benchmark;
use crate::share::Rejected;

/// What the experiment is about, what to see, and why.
#[component]
pub fn Introduction() -> impl IntoView {
    let page = page();
    let part = move |end: &'static str| {
        text(move || page.text(&format!("experiment.{}.{end}", page.config.with(|c| c.experiment.id()))))
    };
    view! {
        <section class="introduction" data-testid="introduction">
            <h2>{part("title")}</h2>
            <p>{part("lead")}</p>
            <details>
                <summary>{t("page.what-to-see")}</summary>
                <p>{part("see")}</p>
            </details>
        </section>
    }
    .into_any()
}

/// What the last link said that could not be taken, and what became of the last file.
#[component]
pub fn Notice() -> impl IntoView {
    let page = page();
    let sentence = move |rejected: &Rejected| match rejected {
        Rejected::Value { key, text, correction } => {
            let name = page.text(&format!("field.{key}.label"));
            let known = page.config.with(|c| crate::lab::field_of(c.experiment, key));
            let now = known.map(|f| page.value(f)).unwrap_or_default();
            let how = match correction {
                Correction::Clamped => "link.clamped",
                Correction::Unreadable => "link.unreadable",
                Correction::Trimmed => "link.trimmed",
            };
            page.filled(how, &[("field", &name), ("text", text), ("value", &now)])
        }
        Rejected::Key(key) => page.filled("link.key", &[("key", key)]),
        Rejected::Version(version) => page.filled("link.version", &[("version", &version.to_string())]),
        Rejected::TooLong => page.text("link.long"),
    };
    let some = move || page.notices.with(|n| !n.is_empty()) || !page.file_notice.get().is_empty();
    view! {
        <Show when=some>
            <div class="notice" data-testid="notice" role="status">
                <ul>
                    {move || {
                        page.notices.with(|all| {
                            all.iter().take(12).map(|one| view! { <li>{sentence(one)}</li> }).collect_view()
                        })
                    }}
                    {move || {
                        let key = page.file_notice.get();
                        (!key.is_empty()).then(|| view! { <li>{page.text(key)}</li> })
                    }}
                </ul>
                <button
                    type="button"
                    class="quiet"
                    on:click=move |_| {
                        page.notices.set(Vec::new());
                        page.file_notice.set("");
                    }
                >
                    {t("action.dismiss")}
                </button>
            </div>
        </Show>
    }
    .into_any()
}

/// The buttons of a run, its state, and its failure.
#[component]
pub fn Play() -> impl IntoView {
    let page = page();
    let status = memo(move || page.session.with(Session::status));
    let going = move || matches!(status.get(), Status::Running | Status::Paused);
    let paused = move || status.get() == Status::Paused;
    let planned = memo(move || page.config.with(planned_evaluations));
    let evaluations = move || planned.get().or(page.evaluations.get());
    let evaluation_words = move || match (planned.get(), page.evaluations.get()) {
        (Some(planned), _) => page.filled("run.evaluations", &[("count", &planned.to_string())]),
        (None, Some(done)) => page.filled("run.evaluations", &[("count", &done.to_string())]),
        (None, None) => page.text("run.evaluations-open"),
    };
    let share = memo(move || {
        page.session.with(|s| match s.phase(s.active()) {
            Phase::Fetching(share) => Some((share * 100.0).round()),
            _ => None,
        })
    });
    let words = move || {
        let progress = page.progress.get();
        let work = page.session.with(Session::work);
        match status.get() {
            Status::Loading => {
                let percent = share.get().unwrap_or(0.0);
                page.filled("status.loading", &[("percent", &percent.to_string())])
            }
            Status::Running if work == Some(Work::Training) => page.filled(
                "status.training",
                &[
                    ("step", &progress.step.to_string()),
                    ("of", &progress.of.to_string()),
                    ("rate", &number(progress.rate, 3)),
                ],
            ),
            Status::Running if work == Some(Work::Study) => {
                let share = f64::from(progress.step) / f64::from(progress.of.max(1));
                page.filled("status.studying", &[("percent", &(100.0 * share).floor().to_string())])
            }
            Status::Running if work != Some(Work::Sampling) => page
                .filled("status.measuring", &[("step", &progress.step.to_string()), ("of", &progress.of.to_string())]),
            Status::Running => images::words(page).unwrap_or_else(|| page.text("status.sampling")),
            other => page.text(&format!("status.{}", other.id())),
        }
    };
    let study = move || page.config.with(|c| c.experiment.study().is_some());
    let pictures = flag(move || images::are_shown(page));
    // Studies are run, images are sampled; only the plane is trained and sampled.
    let untrained = flag(move || study() || pictures.get());
    let rerun = move |_| {
        if study() {
            return super::study::begin(page);
        }
        if pictures.get_untracked() {
            return page.run();
        }
        let training =
            page.session.with_untracked(|s| matches!(s.work(), None | Some(Work::Training)) && s.failure().is_none());
        page.forget(training);
        page.tell(|session| session.restart(&page.config.get_untracked()));
    };
    let share_done = move || match status.get() {
        Status::Loading => share.get().map(|percent| percent / 100.0),
        Status::Running | Status::Paused => {
            let progress = page.progress.get();
            let counted = page.session.with(Session::work) != Some(Work::Sampling);
            let share = (counted && progress.of > 0).then(|| f64::from(progress.step) / f64::from(progress.of));
            share.or_else(|| images::share(page))
        }
        _ => None,
    };
    view! {
        <section class="play" aria-label=t("run.label")>
            <div class="buttons">
                <button
                    type="button"
                    class="main"
                    class:gone=flag(move || !study())
                    data-testid="run"
                    on:click=move |_| super::study::begin(page)
                >
                    {t("action.run")}
                </button>
                <button
                    type="button"
                    class="main"
                    class:gone=untrained
                    data-testid="train"
                    on:click=move |_| page.train(false)
                >
                    {t("action.train")}
                </button>
                <button
                    type="button"
                    class="main"
                    class:second=flag(move || !pictures.get())
                    class:gone=flag(study)
                    data-testid="sample"
                    on:click=move |_| page.sample()
                >
                    {t("action.sample")}
                </button>
                <button
                    type="button"
                    data-testid="pause"
                    disabled=flag(move || !going())
                    on:click=move |_| {
                        let held = paused();
                        page.tell(|session| if held { session.resume() } else { session.pause() });
                    }
                >
                    {text(move || page.text(if paused() { "action.resume" } else { "action.pause" }))}
                </button>
                <button
                    type="button"
                    data-testid="step"
                    disabled=flag(move || !going())
                    on:click=move |_| page.tell(Session::step)
                >
                    {t("action.step")}
                </button>
                <button
                    type="button"
                    data-testid="stop"
                    disabled=flag(move || !going())
                    on:click=move |_| page.tell(Session::stop)
                >
                    {t("action.stop")}
                </button>
                <button type="button" data-testid="restart" on:click=rerun>
                    {t("action.restart")}
                </button>
            </div>
            <p class="state">
                <span
                    class="status"
                    data-testid="status"
                    data-state=text(move || status.get().id().to_owned())
                    role="status"
                    aria-live="polite"
                >
                    {text(words)}
                </span>
                <output
                    class="evaluations"
                    class:gone=flag(study)
                    data-testid="evaluations"
                    data-value=text(move || evaluations().map(|n| n.to_string()).unwrap_or_default())
                >
                    {text(evaluation_words)}
                </output>
            </p>
            <progress
                max="1"
                class:unseen=flag(move || share_done().is_none())
                prop:value=text(move || share_done().unwrap_or(0.0).to_string())
                aria-label=t("run.progress")
            ></progress>
            <Failed />
        </section>
    }
    .into_any()
}

#[component]
fn Failed() -> impl IntoView {
    let page = page();
    let failure = memo(move || page.session.with(|s| s.failure().cloned()));
    let kept = move || {
        page.session.with(|s| s.checkpoint().map(|c| c.step)).map_or_else(
            || page.text("failure.kept-settings"),
            |step| page.filled("failure.kept-weights", &[("step", &step.to_string())]),
        )
    };
    view! {
        <div data-testid="error" role="alert" class:error=flag(move || failure.with(Option::is_some))>
            {move || {
                failure.get().map(|failure| {
                    let kind = format!("failure.{:?}", failure.kind);
                    let able = page.session.with(Session::can_recover);
                    view! {
                        <p>
                            <strong>{page.text(&kind)}</strong>
                        </p>
                        <p>{kept()}</p>
                        <p>{page.text(&format!("{kind}.advice"))}</p>
                        <details>
                            <summary>{t("failure.detail")}</summary>
                            <p dir="ltr" lang="en">{failure.detail}</p>
                        </details>
                        <div class="row">
                            <button type="button" data-testid="recover" class:gone=!able on:click=move |_| {
                                page.tell(|session| session.restart(&page.config.get_untracked()));
                            }>{t("action.recover")}</button>
                            <button type="button" class="quiet" on:click=move |_| page.tell(Session::dismiss)>
                                {t("action.dismiss")}
                            </button>
                        </div>
                    }
                })
            }}
        </div>
    }
    .into_any()
}

/// The measurements of a device, a line each, for the curious.
fn numbers(b: &Benchmark) -> String {
    let rows = [
        ("parameters", f64::from(b.parameters)),
        ("warm_up_ms", b.warm_up_ms),
        ("training_step_ms", b.training_step_ms),
        ("batch", f64::from(b.batch)),
        ("evaluation_ms", b.evaluation_ms),
        ("samples", f64::from(b.samples)),
        ("training_steps_per_second", b.training_steps_per_second),
        ("samples_per_second", b.samples_per_second),
    ];
    let rows: String = rows.map(|(name, value)| format!("\n{name}: {}", number(value, 4))).concat();
    format!("{}{rows}", b.device.name)
}

/// What computes, and why.
#[component]
pub fn Device() -> impl IntoView {
    let page = page();
    let name = memo(move || {
        page.session.with(|s| {
            let slot = if s.is_busy() { s.running_slot() } else { s.active() };
            let word = if slot == Slot::Gpu { "WebGPU" } else { "CPU" };
            let software = s.info(slot).is_some_and(|info| info.software);
            (word, s.info(slot).map(|info| info.name.clone()).unwrap_or_default(), software)
        })
    });
    let timings = memo(move || page.session.with(|s| Slot::ALL.map(|slot| s.timings(slot).cloned())));
    let reason = move || {
        if images::are_shown(page) {
            return images::device(page);
        }
        let (wish, adapter, comparing, phase) =
            page.session.with(|s| (s.wished(), s.has_adapter(), s.is_comparing(), s.phase(Slot::Gpu)));
        let values = timings.get();
        let [Some(cpu), Some(gpu)] = values else {
            let key = match (wish, adapter) {
                (DeviceWish::Cpu | DeviceWish::Gpu, _) => "device.chosen",
                (_, None) => "device.looking",
                (_, Some(false)) => "device.alone",
                _ if comparing => "device.comparing",
                _ if matches!(phase, Phase::Fetching(_)) => "device.fetching",
                _ if phase == Phase::Dead => "device.gpu-failed",
                _ => "device.first",
            };
            return page.text(key);
        };
        let (cpu, gpu) = (number(cpu.training_step_ms, 3), number(gpu.training_step_ms, 3));
        let key = if wish == DeviceWish::Auto { "device.measured" } else { "device.chosen-measured" };
        page.filled(key, &[("cpu", &cpu), ("gpu", &gpu)])
    };
    let measured = move || {
        if images::are_shown(page) {
            return images::benchmarks(page);
        }
        let measured: Vec<Benchmark> = timings.get().into_iter().flatten().collect();
        measured.iter().map(numbers).collect::<Vec<_>>().join("\n\n")
    };
    let idle = move || {
        page.session.with(|s| !s.is_comparing() && !s.is_examining() && !s.is_busy() && s.status() != Status::Loading)
    };
    let measure = move |_| {
        if images::are_shown(page) {
            images::measure(page);
        } else {
            page.tell(|session| session.compare(&page.config.get_untracked()));
        }
    };
    view! {
        <section class="device">
            <h3>{t("device.title")}</h3>
            <p
                data-testid="device"
                data-device=text(move || if name.with(|n| n.0 == "CPU") { "cpu" } else { "gpu" }.to_owned())
                dir="auto"
            >
                {text(move || {
                    let (word, name, software) = name.get();
                    let soft = if software { page.text("device.software") } else { String::new() };
                    if name.is_empty() { word.to_owned() } else { format!("{word} · {name} {soft}") }
                })}
            </p>
            <p class="note">{text(reason)}</p>
            <button
                type="button"
                class="quiet"
                data-testid="compare"
                disabled=flag(move || !idle())
                on:click=measure
            >
                {t("action.compare")}
            </button>
            {changing(move || {
                if images::are_shown(page) { view! { <images::SelfTest /> }.into_any() } else { ().into_any() }
            })}
            <details class:unseen=flag(move || measured().is_empty())>
                <summary>{t("device.numbers")}</summary>
                <pre data-testid="benchmark" dir="ltr">{text(measured)}</pre>
            </details>
        </section>
    }
    .into_any()
}
