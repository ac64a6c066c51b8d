//! What the page says: the introduction, the state of the run, the device, and what went wrong.

use leptos::prelude::*;

use super::element::{Element, element};
use super::parts::{button, quiet};
use super::state::{memo, page};
use super::{images, runs};
use crate::decimal::shortest;
use crate::experiments;
use crate::lab::{Correction, DeviceChoice, planned_evaluations};
use crate::plot::label::number;
use crate::protocol::{Benchmark, FailureKind};
use crate::session::{Phase, Work};
use crate::session::{Session, Slot, Status};
use crate::share::Rejected;

/// What the experiment is about, what to see, and why.
pub fn introduction() -> Element {
    let page = page();
    let part = move |end: &'static str| {
        move || page.text(&format!("experiment.{}.{end}", page.config.with(|c| c.experiment.id().to_owned())))
    };
    // Before the tables are there nobody knows whether there is such a study.
    let section =
        element("section").class("introduction").gone_when(move || page.contents.get() || page.awaits_study());
    section.test_id("introduction").holds(&[
        element("h2").words(part("title")),
        element("p").html(part("lead")),
        element("details").holds(&[element("summary").says("page.what-to-see"), element("p").html(part("see"))]),
    ])
}

/// What the last link said that could not be taken, and what became of the last file; inside `main`.
pub fn notice(main: Element) -> Element {
    let page = page();
    let sentence = move |rejected: &Rejected| match rejected {
        Rejected::Value { key, text, correction } => {
            let name = page.text(&format!("field.{key}.label"));
            let known = page.config.with(|c| experiments::field_of(c.experiment, key));
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
    let sentences = move || {
        let all = page.notices.with(|all| all.iter().take(12).map(sentence).collect::<Vec<_>>());
        let key = page.file_notice.get();
        let of_file = (!key.is_empty()).then(|| page.text(key));
        all.iter().chain(&of_file).map(|words| element("li").plain(words)).collect()
    };
    let dismiss = move || {
        page.notices.set(Vec::new());
        page.file_notice.set("");
    };
    let made = move || {
        let dismiss =
            element("button").attribute("type", "button").class("quiet").says("action.dismiss").press(dismiss);
        let notice = element("div").class("notice").test_id("notice").attribute("role", "status");
        vec![notice.holds(&[element("ul").changing(sentences), dismiss])]
    };
    main.when(some, made)
}

/// The buttons of a run, its state, and its failure.
pub fn play() -> Element {
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
                page.filled("status.loading", &[("percent", &shortest(percent))])
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
                page.filled("status.studying", &[("percent", &((100.0 * share) as u32).to_string())])
            }
            Status::Running => images::words(page).unwrap_or_else(|| match work {
                Some(Work::Sampling) => page.text("status.sampling"),
                _ => page.filled(
                    "status.measuring",
                    &[("step", &progress.step.to_string()), ("of", &progress.of.to_string())],
                ),
            }),
            other => page.text(&format!("status.{}", other.id())),
        }
    };
    let study = move || page.config.with(|c| experiments::study(c.experiment).is_some());
    let pictures = move || images::are_shown(page);
    // Studies are run, images are sampled; only the plane is trained and sampled.
    let untrained = move || study() || pictures();
    let rerun = move || {
        if untrack(study) {
            return runs::study(page);
        }
        if untrack(pictures) {
            return runs::run(page);
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
    let hold = move || {
        let held = status.get_untracked() == Status::Paused;
        page.tell(|session| if held { session.resume() } else { session.pause() });
    };
    let idle = move || !going();
    let while_going =
        |id, key, say: fn(&mut Session)| button(id, key, move || page.tell(say)).attribute_when("disabled", idle);
    let pause = element("button").attribute("type", "button").test_id("pause").attribute_when("disabled", idle);
    let buttons = element("div").class("buttons").holds(&[
        button("run", "action.run", move || runs::study(page)).class("main").gone_when(move || !study()),
        button("train", "action.train", move || runs::train(page, false)).class("main").gone_when(untrained),
        button("sample", "action.sample", move || runs::sample(page))
            .class("main")
            .class_when("second", move || !pictures())
            .gone_when(study),
        pause.press(hold).words(move || page.text(if paused() { "action.resume" } else { "action.pause" })),
        while_going("step", "action.step", Session::step),
        while_going("stop", "action.stop", Session::stop),
        button("restart", "action.restart", rerun),
    ]);
    let state = element("p").class("state").holds(&[
        element("span")
            .class("status")
            .test_id("status")
            .attribute("role", "status")
            .attribute("aria-live", "polite")
            .attribute_of("data-state", move || status.get().id().to_owned())
            .words(words),
        element("output")
            .class("evaluations")
            .gone_when(study)
            .test_id("evaluations")
            .attribute_of("data-value", move || evaluations().map(|n| shortest(n.into())).unwrap_or_default())
            .words(evaluation_words),
    ]);
    let estimate = memo(move || {
        let estimate = page.config.with(|c| page.session.with(|s| s.estimate(c)));
        let Some([training, sampling]) = estimate.filter(|_| !going()) else { return String::new() };
        page.filled("run.estimate", &[("training", &number(training, 2)), ("sampling", &number(sampling, 2))])
    });
    let estimate = element("p")
        .class("note")
        .test_id("estimate")
        .gone_when(move || estimate.with(String::is_empty))
        .words(move || estimate.get());
    let progress = element("progress")
        .attribute("max", "1")
        .class_when("unseen", move || share_done().is_none())
        .property_of("value", move || shortest(share_done().unwrap_or(0.0)))
        .label("run.progress");
    element("section").class("play").label("run.label").holds(&[buttons, state, estimate, progress, failed()])
}

/// What went wrong, what is left, and what to do.
fn failed() -> Element {
    let page = page();
    let failure = memo(move || page.session.with(|s| s.failure().cloned()));
    let kept = move || {
        page.session.with(|s| s.checkpoint().map(|c| c.step)).map_or_else(
            || page.text("failure.kept-settings"),
            |step| page.filled("failure.kept-weights", &[("step", &step.to_string())]),
        )
    };
    let told = move || {
        let Some(failure) = failure.get() else { return Vec::new() };
        // Images are not trained here: their weights did not come.
        let (kind, advice) = if failure.kind == FailureKind::Untrained && images::are_shown(page) {
            ("failure.no-weights".to_owned(), "failure.no-weights.advice".to_owned())
        } else {
            (format!("failure.{:?}", failure.kind), format!("failure.{:?}.advice", failure.kind))
        };
        let able = page.session.with(Session::can_recover);
        // Where there is no device nothing was lost that could be gone back to.
        let absent = failure.kind == FailureKind::NoDevice;
        let again = if absent { "catalogue.again" } else { "action.recover" };
        let restart = move || page.tell(|session| session.restart(&page.config.get_untracked()));
        let dismiss = element("button").attribute("type", "button").class("quiet").says("action.dismiss");
        let detail = element("p").attribute("dir", "ltr").attribute("lang", "en");
        vec![
            element("p").child(element("strong").plain(&page.text(&kind))),
            element("p").plain(&kept()),
            element("p").plain(&page.text(&advice)),
            element("details").holds(&[element("summary").says("failure.detail"), detail.plain(&failure.detail)]),
            element("div").class("row").holds(&[
                button("recover", again, restart).gone_when(move || !able),
                dismiss.press(move || page.tell(Session::dismiss)),
            ]),
        ]
    };
    element("div")
        .test_id("error")
        .attribute("role", "alert")
        .class_when("error", move || failure.with(Option::is_some))
        .changing(told)
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
    let rows = rows.map(|(name, value)| ["\n", name, ": ", &number(value, 4)].concat()).concat();
    [&b.device.name, &rows, "\ndigests: ", &b.digests].concat()
}

/// What computes, and why.
pub fn device() -> Element {
    let page = page();
    let name = memo(move || {
        page.session.with(|s| {
            let slot = if s.is_busy() { s.running_slot() } else { s.active() };
            let info = s.info(slot);
            let (gpu, software) = (info.is_some_and(|info| info.gpu), info.is_some_and(|info| info.software));
            // Another machine's GPU may be reached by CUDA, which its name says.
            let cuda = info.is_some_and(|info| info.name.starts_with("CUDA"));
            let word = if cuda {
                "GPU"
            } else if gpu || slot == Slot::Gpu {
                "WebGPU"
            } else {
                "CPU"
            };
            (word, info.map(|info| info.name.clone()).unwrap_or_default(), software)
        })
    });
    let timings = memo(move || page.session.with(|s| Slot::MODELS.map(|slot| s.timings(slot).cloned())));
    let reason = move || {
        if images::are_shown(page) {
            return images::device(page);
        }
        let (wish, adapter, comparing, phase) =
            page.session.with(|s| (s.chosen_device(), s.has_adapter(), s.is_comparing(), s.phase(Slot::Gpu)));
        let values = timings.get();
        if wish == DeviceChoice::Remote {
            return page.text("device.remote");
        }
        let [Some(cpu), Some(gpu), _] = values else {
            let key = match (wish, adapter) {
                (DeviceChoice::Cpu | DeviceChoice::Gpu, _) => "device.chosen",
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
        let key = if wish == DeviceChoice::Auto { "device.measured" } else { "device.chosen-measured" };
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
    let measure = move || {
        if untrack(|| images::are_shown(page)) {
            images::measure(page);
        } else {
            page.tell(|session| session.compare(&page.config.get_untracked()));
        }
    };
    let words = move || {
        let (word, name, software) = name.get();
        let soft = if software { page.text("device.software") } else { String::new() };
        if name.is_empty() { word.to_owned() } else { format!("{word} · {name} {soft}") }
    };
    element("section").class("device").holds(&[
        element("h3").says("device.title"),
        element("p")
            .test_id("device")
            .attribute_of("data-device", move || if name.with(|n| n.0 == "CPU") { "cpu" } else { "gpu" }.to_owned())
            .attribute("dir", "auto")
            .words(words),
        element("p").class("note").words(reason),
        quiet("compare", "action.compare", measure).attribute_when("disabled", move || !idle()),
        element("div")
            .class("place")
            .when(move || images::are_shown(page), || vec![images::cores(), images::self_test()]),
        element("details").class_when("unseen", move || measured().is_empty()).holds(&[
            element("summary").says("device.numbers"),
            element("pre").test_id("benchmark").attribute("dir", "ltr").words(measured),
        ]),
    ])
}
