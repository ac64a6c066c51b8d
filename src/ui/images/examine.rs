//! The self-test and the timings, by button or by link.

use super::status::are_shown;
use crate::decimal::shortest;
use crate::lab::DeviceChoice;
use crate::plot::label::number;
use crate::protocol::images::{ImageBenchmark, SelfTest as Report, SelfTestCase};
use crate::session::Phase;
use crate::session::{Session, Slot};
use crate::share::Examination;
use crate::ui::element::{Element, element};
use crate::ui::memory;
use crate::ui::parts::{choice, quiet};
use crate::ui::state::{Page, effect, memo, page};

/// Numbers of images of an evaluation that is timed.
const BATCHES: [u32; 3] = [1, 4, 16];
/// Time for each, in milliseconds.
const BUDGET: f64 = 2000.0;

/// Times what is there.
pub fn measure(page: Page) {
    let config = page.config.get_untracked();
    page.tell(|session| session.measure_images(&config, &BATCHES, BUDGET));
}

/// Whether all that was wished for is there, or will not come, and has time.
fn is_settled(session: &Session) -> bool {
    let known =
        matches!(session.chosen_device(), DeviceChoice::Cpu | DeviceChoice::Remote) || session.has_adapter().is_some();
    let fetching = Slot::ALL.iter().any(|&slot| matches!(session.phase(slot), Phase::Fetching(_)));
    let idle = !session.is_busy() && !session.is_examining();
    known && !fetching && idle && session.phase(session.active()) == Phase::Ready
}

/// Does what the link asks for, once.
pub fn follow_the_link(page: Page) {
    let settled = memo(move || page.session.with(is_settled));
    effect(move || {
        let Examination { self_test, benchmark } = page.images.wanted.get();
        if !(self_test || benchmark) || !are_shown(page) || !settled.get() {
            return;
        }
        // One after the other: timings beside other work say little.
        page.images.wanted.set(Examination { self_test: false, benchmark: self_test && benchmark });
        if self_test {
            page.tell(Session::test_images);
        } else {
            measure(page);
        }
    });
}

/// A text as JSON.
fn quoted(text: &str) -> String {
    let clean: String = text.chars().filter(|c| !c.is_control()).collect();
    format!("\"{}\"", clean.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A device in one word.
const fn word(slot: Slot) -> &'static str {
    match slot {
        Slot::Cpu | Slot::Study => "cpu",
        Slot::Gpu => "gpu",
        Slot::Remote => "remote",
    }
}

fn timings(slot: Slot, benchmark: &ImageBenchmark) -> String {
    let rows: Vec<String> = benchmark
        .rows
        .iter()
        .map(|row| {
            format!(
                "    {{ \"batch\": {}, \"warm_up_ms\": {}, \"evaluation_ms\": {}, \"evaluations\": {}, \"images_per_second\": {}, \"workers\": {}, \"together_ms\": {}, \"half_ms\": {} }}",
                row.batch,
                number(row.warm_up_ms, 4),
                number(row.evaluation_ms, 4),
                row.evaluations,
                number(row.images_per_second, 4),
                row.workers,
                number(row.together_ms, 4),
                number(row.half_ms, 4)
            )
        })
        .collect();
    format!(
        "{{\n  \"device\": {}, \"name\": {}, \"software\": {},\n  \"weights\": {}, \"parameters\": {}, \"side\": {}, \"gflop\": {},\n  \"weight_bytes\": {}, \"held_bytes\": {},\n  \"rows\": [\n{}\n  ]\n}}",
        quoted(word(slot)),
        quoted(&benchmark.device.name),
        benchmark.device.software,
        quoted(&benchmark.title),
        benchmark.parameters,
        benchmark.side,
        number(benchmark.gflop, 4),
        shortest(benchmark.weight_bytes),
        shortest(benchmark.held_bytes),
        rows.join(",\n")
    )
}

/// The timings of every device as JSON, followed; empty while there are none.
#[must_use]
pub fn benchmarks(page: Page) -> String {
    let all: Vec<String> = page.session.with(|session| {
        Slot::MODELS.iter().filter_map(|&slot| Some(timings(slot, session.image_benchmark(slot)?))).collect()
    });
    if all.is_empty() { String::new() } else { format!("[{}]", all.join(", ")) }
}

/// How many cores of the processor images may have: a choice where there are several, as long as it is the processor
/// that computes.
pub fn cores() -> Element {
    let page = page();
    let [chosen, there] = memory::cores();
    let option = |count: u32| {
        let name = count.to_string();
        choice(&name.clone(), move || count == chosen, move || page.language.get().digits(&name))
    };
    let options: Vec<Element> = (1..=there).map(option).collect();
    let choose = move |count: String| {
        memory::keep_cores(&count);
        page.tell(|session| session.use_cores(count.parse().unwrap_or(there)));
    };
    let menu = element("select").test_id("cores").change(choose).holds(&options);
    let idle = move || there < 2 || page.session.with(Session::active) != Slot::Cpu;
    element("label").class("setting").gone_when(idle).holds(&[element("span").says("images.cores"), menu])
}

/// The self-test: its button, and the numbers of every device beside those that are right.
pub fn self_test() -> Element {
    let page = page();
    let examining = move || page.session.with(|s| s.is_examining() || s.is_busy());
    let reports = memo(move || page.session.with(|s| Slot::MODELS.map(|slot| s.self_test(slot).cloned())));
    let tables = move || {
        reports.with(|reports| {
            let found = Slot::MODELS.iter().zip(reports).filter_map(|(&slot, report)| Some((slot, report.as_ref()?)));
            found.map(|(slot, report)| table(page, slot, report)).collect()
        })
    };
    let start = quiet("self-test", "images.self-test", move || page.tell(Session::test_images));
    element("div").class("self-test").holds(&[
        start.attribute_when("disabled", examining),
        element("div").attribute("aria-live", "polite").changing(tables),
    ])
}

fn table(page: Page, slot: Slot, report: &Report) -> Element {
    let passed = report.passed();
    let (id, device) = match slot {
        Slot::Cpu | Slot::Study => ("self-test-cpu", "CPU"),
        Slot::Gpu => ("self-test-gpu", "WebGPU"),
        Slot::Remote => ("self-test-remote", "remote"),
    };
    let key = if passed { "images.test-passed" } else { "images.test-failed" };
    let words = page.filled(key, &[("device", device), ("time", &number(report.millis / 1000.0, 3))]);
    let first = |floats: &[f32]| floats.iter().take(4).map(|&v| number(f64::from(v), 4)).collect::<Vec<_>>().join(", ");
    let cell = |text: &str| element("td").plain(text);
    let row = |case: &SelfTestCase| {
        let errors = format!("{} / {}", number(case.error, 2), number(case.tolerance, 2));
        element("tr").holds(&[
            element("th").attribute("scope", "row").plain(&case.name),
            cell(&first(&case.expected.0)),
            cell(&first(&case.found.0)),
            cell(&errors).class(if case.passed() { "" } else { "wrong" }),
        ])
    };
    let rows: Vec<Element> = report.cases.iter().map(row).collect();
    let heads = ["images.test-expected", "images.test-found", "images.test-error"];
    let heads = heads.map(|key| element("th").attribute("scope", "col").says(key));
    let table = element("table").holds(&[
        element("thead").child(element("tr").child(element("th")).holds(&heads)),
        element("tbody").holds(&rows),
    ]);
    element("details")
        .test_id(id)
        .attribute("data-passed", if passed { "true" } else { "false" })
        .attribute_when("open", move || !passed)
        .holds(&[element("summary").plain(&words), element("div").class("scroll").attribute("dir", "ltr").child(table)])
}
