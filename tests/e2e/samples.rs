//! The same link, the same samples: twice on one device, and on two devices.

use super::page::{LATE, Page, SOON};

/// Largest distance between a sample on the CPU and on WebGPU with the same weights, in the data's own coordinates, which
/// span about 3. The networks add `f32` products in another order, a relative error of about 1e-6 an evaluation, which
/// the steps of a solver carry on; 3e-7 was measured (`docs/quality.md`), and GPUs may be less exact than this software.
const TOLERANCE: f64 = 1e-4;

const MODEL: &str = "#dataset=moons&width=16&depth=2&batch=32&training-steps=200&samples=64&steps=10&seed=3";

fn furthest(a: &[[f64; 2]], b: &[[f64; 2]]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(p, q)| (p[0] - q[0]).hypot(p[1] - q[1])).fold(0.0, f64::max)
}

#[test]
fn a_link_with_run_trains_and_samples_and_gives_the_same_samples_twice() {
    let page = Page::open("run", &format!("{MODEL}&device=cpu&run=1"));
    let finished = || {
        page.until("the link trains and samples", LATE, || {
            let sampled = page.browser.script(
                "return !document.querySelector(\"[data-testid='export-samples']\").disabled
                   && document.querySelector(\"[data-testid='time']\").max === '10';",
                &[],
            );
            (page.state()? == "done" && sampled.as_bool()?).then_some(())
        });
        page.samples()
    };
    let first = finished();
    assert_eq!(first.len(), 64);
    page.go(&format!("{MODEL}&device=cpu&run=1"));
    assert_eq!(finished(), first, "bit for bit");
    page.close();
}

#[test]
fn the_same_weights_give_the_same_samples_on_the_cpu_and_on_webgpu() {
    let page = Page::open("cpu-gpu", &format!("{MODEL}&device=cpu"));
    page.wait_for(&["idle"], SOON);
    page.press("train");
    page.wait_for(&["done"], LATE);
    let weights = page.take_file("export-weights", ".safetensors");
    // The multistep solver, a second-order one and a first-order one; all without fresh noise.
    let mut worst = Vec::new();
    for solver in ["dpmpp-2m", "heun", "ddim"] {
        let mut drawn = Vec::new();
        for device in ["cpu", "gpu"] {
            page.go(&format!("{MODEL}&device={device}"));
            page.wait_for(&["idle"], LATE);
            page.drop_file("weights.safetensors", &weights);
            page.until("the weights are taken", LATE, || page.text("notice").contains("were taken").then_some(()));
            page.set("solver", solver);
            page.press("sample");
            page.wait_for(&["done"], LATE);
            assert_eq!(page.attribute("device", "data-device").as_deref(), Some(device));
            drawn.push(page.samples());
        }
        let distance = furthest(&drawn[0], &drawn[1]);
        println!("{solver}: furthest sample {distance:.2e} apart");
        worst.push((distance, solver));
    }
    assert!(worst.iter().all(|(distance, _)| *distance <= TOLERANCE), "{worst:?}");
    page.close();
}

/// Most that the two quality numbers of one link may differ between devices: the spread of the default run over seeds
/// (`docs/quality.md`). The batches are the same bit for bit and only rounding differs, so it is far less in short runs.
const SPREAD: (f64, f64) = (0.02, 0.02);

#[test]
fn a_whole_training_run_reaches_the_same_quality_on_the_cpu_and_on_webgpu() {
    let link = "#dataset=moons&width=16&depth=2&batch=64&training-steps=150&samples=1000&steps=10&seed=3&run=1";
    let quality = ["cpu", "gpu"].map(|device| {
        let page = Page::open("whole-run", &format!("{link}&device={device}"));
        let quality = page.until("the link trains and samples", LATE, || {
            let sampled =
                page.browser.script("return document.querySelector(\"[data-testid='time']\").max === '10';", &[]);
            (page.state()? == "done" && sampled.as_bool()?).then_some(())?;
            Some([page.number("quality", "data-kl")?, page.number("quality", "data-sliced")?])
        });
        page.close();
        quality
    });
    let [cpu, gpu] = quality;
    println!("KL {:.4} on the CPU, {:.4} on WebGPU; sliced {:.4}, {:.4}", cpu[0], gpu[0], cpu[1], gpu[1]);
    assert!((cpu[0] - gpu[0]).abs() <= SPREAD.0 && (cpu[1] - gpu[1]).abs() <= SPREAD.1, "{quality:?}");
}
