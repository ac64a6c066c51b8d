//! The machine that serves the page as a device of it: `scorefield serve --remote`.

#[path = "../support/serving.rs"]
mod serving;

use serving::Serving;

use super::images::{SHORT, golden, images};
use super::page::{LATE, Page, SOON, dist};
use super::trained::program;

const SMALL: &str = "#dataset=moons&device=remote&width=32&depth=2&batch=128&samples=200&steps=5&seed=3";

fn serve(port: &str, more: &[&str]) -> Serving {
    Serving::start(program(), &dist().to_string_lossy(), port, &[&["--remote"], more].concat())
}

fn open(serving: &Serving, name: &'static str, fragment: &str) -> Page {
    Page::open_from(name, &serving.address, &format!("{}{fragment}", serving.query))
}

#[test]
fn what_is_computed_elsewhere_is_shown_here_and_a_token_stays_out_of_links() {
    let serving = serve("0", &["--listen", "0.0.0.0"]);
    assert!(serving.query.starts_with("?token="), "{}", serving.query);
    let page = open(&serving, "remote", &format!("{SMALL}&training-steps=300"));
    page.wait_for(&["idle"], SOON);
    assert!(page.text("device").starts_with("CPU · Burn Flex (x86_64)") || !cfg!(target_arch = "x86_64"));
    page.press("train");
    page.wait_for(&["done"], LATE);
    page.press("sample");
    page.wait_for(&["done"], LATE);
    assert_eq!(page.samples().len(), 200);
    let link = page.value("share");
    assert!(link.contains("device=remote") && !link.contains("token"), "{link}");
    // The same by a worker of the page: another machine's sums, in another order, of the same run.
    let there = page.number("loss", "data-value").expect("a loss");
    page.set("device-field", "cpu");
    page.press("train");
    page.until("the CPU is there", LATE, || page.text("device").contains("WebAssembly").then_some(()));
    page.wait_for(&["done"], LATE);
    let here = page.number("loss", "data-value").expect("a loss");
    assert!((there - here).abs() < 0.05 * here, "{there} there, {here} here");
    page.close();

    // Without the token nothing is computed.
    let page = Page::open_from("remote-token", &serving.address, SMALL);
    page.wait_for(&["failed"], SOON);
    assert!(page.text("error").contains("token"), "{}", page.text("error"));
    page.close_after_trouble();
}

#[test]
fn images_are_made_elsewhere_also_with_weights_from_a_file_of_the_visitors() {
    let serving = serve("0", &[]);
    let page = open(&serving, "remote-images", &SHORT.replace("device=cpu", "device=remote"));
    page.wait_for(&["idle"], SOON);
    page.press("sample");
    let shipped = images(&page);
    page.drop_file("mine.ckpt", &golden("small_ddim.ckpt"));
    page.until("the file has arrived", LATE, || (page.attribute("held", "data-title")? == "mine.ckpt").then_some(()));
    page.press("sample");
    let own = images(&page);
    assert!(own != shipped && own.chunks(4).any(|pixel| pixel != &own[..4]), "the file changed nothing");
    page.close();
}

#[test]
fn a_lost_connection_is_a_message_and_a_restart_goes_on_from_the_last_checkpoint() {
    let serving = serve("0", &[]);
    let page = open(&serving, "remote-lost", &format!("{SMALL}&training-steps=100000"));
    page.wait_for(&["idle"], SOON);
    page.press("train");
    let kept = || page.browser.script("return sessionStorage.getItem('scorefield-step');", &[]);
    page.until("a checkpoint arrives", SOON, || kept().as_str()?.parse::<f64>().ok().filter(|steps| *steps > 0.0));
    let port = serving.address.rsplit_once(':').expect("a port").1.to_owned();
    drop(serving);
    page.wait_for(&["failed"], SOON);
    let message = page.text("error");
    let said = message.split_whitespace().find_map(|word| word.parse::<f64>().ok()).expect("a number of steps");
    assert!(said > 0.0, "{message}");

    let _again = serve(&port, &[]);
    page.press("recover");
    page.wait_for(&["running"], SOON);
    let step = page.until("the training goes on", SOON, || page.step());
    assert!(step >= said, "step {step} after a checkpoint of {said}");
    page.press("stop");
    page.wait_for(&["done"], SOON);
    page.close_after_trouble();
}

#[test]
fn a_page_that_no_such_machine_serves_does_not_offer_it_and_says_so_when_a_link_asks_for_it() {
    let page = Page::open("remote-absent", SMALL);
    page.wait_for(&["failed"], SOON);
    assert!(page.text("error").contains("scorefield serve --remote"), "{}", page.text("error"));
    page.set("device-field", "cpu");
    page.wait_for(&["idle"], SOON);
    let offered = page.browser.script(
        "return [...document.querySelectorAll(\"[data-testid='device-field'] option\")].filter(o => !o.disabled).map(o => o.value).join();",
        &[],
    );
    assert_eq!(offered.as_str(), Some("auto,cpu,gpu"));
    page.close();
}
