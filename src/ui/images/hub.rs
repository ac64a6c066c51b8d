//! Published networks by name: those of the page's list, and any other model of the Hugging Face hub. Nobody else is asked
//! for anything before the visitor presses a button that says who.

use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Cache, CacheStorage, Response};

use crate::lab::texts::fill;
use crate::lab::{ClassChoice, HUB, RunConfig, planned_evaluations};
use crate::plot::label::number;
use crate::protocol::images::{HubOffer, WEIGHTS_CACHE, kept_address, model_key};
use crate::session::Session;
use crate::session::image_state::ImageWeights;
use crate::ui::element::{Element, element};
use crate::ui::parts::{QUESTION, megabytes, note, quiet};
use crate::ui::reflect::{amount, answer, get, words};
use crate::ui::runs;
use crate::ui::signal::Memo;
use crate::ui::state::images::Published;
use crate::ui::state::{Page, effect, memo, start};

/// What the session knows that a question depends on: what the hub said, and whether it is being asked.
#[derive(Clone, Default, PartialEq)]
pub struct Asked {
    offer: Option<HubOffer>,
    looking: bool,
    /// Milliseconds of a billion operations here, as measured with the network in use; 0 without.
    pace: f64,
}

/// Where the hub is, as the page says: a mirror's page may say another.
fn origin() -> String {
    let meta = document().query_selector("meta[name=hub]").ok().flatten();
    meta.and_then(|meta| meta.get_attribute("content")).unwrap_or_default()
}

/// The hub as it is shown.
fn host() -> String {
    origin().split("//").last().unwrap_or_default().to_owned()
}

/// An entry of the list.
pub fn read(entry: &JsValue) -> Published {
    let [model, title, licence, source] = ["model", "title", "licence", "source"].map(|name| words(entry, name));
    let [parameters, bytes, gflop, fid] = ["parameters", "bytes", "gflop", "fid"].map(|name| amount(entry, name));
    Published { model, title, licence, source, parameters, bytes, gflop, fid }
}

/// What the configuration's weights ask the visitor, followed; nothing where nobody has to be asked.
pub fn asked(page: Page) -> Memo<Option<Asked>> {
    memo(move || {
        page.config.with(|config| {
            let ask = |session: &Session| {
                let pace = match session.image_weights() {
                    ImageWeights::Held(weights) if weights.gflop > 0.0 => weights.evaluation_ms / weights.gflop,
                    _ => 0.0,
                };
                let offer = config.weights.hub().and_then(|model| session.offer(model)).cloned();
                session.asks_for_model(config).then(|| Asked { offer, looking: session.is_looking(), pace })
            };
            page.session.with(ask)
        })
    })
}

/// The choice of a model.
fn choice(page: Page, named: Memo<String>, model: &str, title: &str) -> Element {
    let id = [HUB, model].concat();
    let name = id.clone();
    let radio = element("input")
        .attribute("type", "radio")
        .attribute("name", "weights")
        .test_id(&["set-", &id].concat())
        .property_when("checked", move || named.with(|named| *named == name))
        .change(move |_| {
            let _ = page.write("weights", &id);
        });
    element("label").class("set").holds(&[radio, element("bdi").attribute("lang", "en").plain(title)])
}

/// The models of the list.
pub fn listed(page: Page, named: Memo<String>) -> Vec<Element> {
    let entry = |published: &Published| {
        let words = page.filled(
            "images.hub-facts",
            &[
                ("parameters", &megabytes(published.parameters)),
                ("size", &megabytes(published.bytes)),
                ("fid", &number(published.fid, 3)),
            ],
        );
        let Published { model, title, licence, source, .. } = published;
        let words = fill(&words, &[("host", &host()), ("licence", licence), ("source", source)]);
        let facts = element("p").class("note").plain(&words);
        element("div").class("set-of-weights").holds(&[choice(page, named, model, title), facts])
    };
    page.images.published.with(|all| all.iter().map(entry).collect())
}

/// The model that the configuration names, if it is not on the list.
pub fn other(page: Page, named: Memo<String>) -> Vec<Element> {
    let named_now = named.get();
    let Some(model) = named_now.strip_prefix(HUB) else { return Vec::new() };
    let on_it = page.images.published.with(|all| all.iter().any(|published| published.model == model));
    if on_it { Vec::new() } else { vec![choice(page, named, model, model)] }
}

/// The question whether a model may be fetched: how large it is, from where, and how long an image will take.
pub fn question(page: Page, model: &str, asked: &Asked) -> Element {
    let host = host();
    let known = page.images.published.with(|all| all.iter().find(|published| published.model == model).cloned());
    let place = element("div").attribute("id", QUESTION).attribute("tabindex", "-1").test_id("hub-question");
    if asked.looking {
        let words = fill(&page.text("images.hub-looking"), &[("host", &host)]);
        let cancel = quiet("cancel-weights", "images.cancel", move || page.tell(Session::cancel_images));
        return place.holds(&[element("p").class("note").plain(&words), cancel]);
    }
    let (size, ms, licence) = match (&asked.offer, &known) {
        (Some(offer), _) => (offer.bytes, offer.evaluation_ms, offer.licence.clone()),
        (None, Some(known)) => (known.bytes, known.gflop * asked.pace, known.licence.clone()),
        (None, None) => (0.0, 0.0, String::new()),
    };
    let key = if size > 0.0 { "images.hub-ask" } else { "images.hub-ask-open" };
    let told = fill(&page.filled(key, &[("size", &megabytes(size))]), &[("host", &host), ("model", model)]);
    let licensed =
        if licence.is_empty() { String::new() } else { fill(&page.text("images.licence"), &[("licence", &licence)]) };
    let fetch = {
        let model = model.to_owned();
        quiet("hub-fetch", "images.hub-fetch", move || fetch(page, &model)).gone_when(move || size <= 0.0)
    };
    let model = model.to_owned();
    let look = move || page.tell(|session| session.look_up(&model, &origin()));
    let look = quiet("hub-look", "images.hub-look", look);
    place.attribute("data-bytes", &crate::decimal::shortest(size)).holds(&[
        element("p").plain(&told).plain(" ").plain(&licensed),
        time(page, ms, false),
        element("div").class("row wrap").holds(&[fetch, look]),
        note("images.address-note"),
    ])
}

/// The visitor said yes: the model is fetched, and the run that waited for it begins.
fn fetch(page: Page, model: &str) {
    // What is not persistent the browser may forget when it is short of room.
    start(async { drop(answer(&storage(), "persist", &JsValue::UNDEFINED).await) });
    page.tell(|session| session.allow_model(model, &origin()));
    begin(page, model);
}

fn begin(page: Page, model: &str) {
    if page.images.awaited.update_value(std::mem::take) == model {
        runs::run(page);
    } else {
        page.tell(|session| session.load_images(&page.config.get_untracked()));
    }
}

/// How long an image takes here, followed; nothing where no evaluation was measured.
pub fn time(page: Page, evaluation_ms: f64, classes: bool) -> Element {
    let words = move || {
        let guided = |config: &RunConfig| classes && config.image_class != ClassChoice::Any && config.guidance != 1.0;
        let count = page.config.with(|config| {
            let pairs = if guided(config) { 2 } else { 1 };
            pairs * planned_evaluations(config).unwrap_or(config.steps)
        });
        let values = [
            ("evaluations", count.to_string()),
            ("time", number(f64::from(count) * evaluation_ms / 1000.0, 2)),
            ("one", number(evaluation_ms / 1000.0, 2)),
        ];
        page.filled("images.time", &values.each_ref().map(|(name, value)| (*name, value.as_str())))
    };
    let line = element("p").class(if evaluation_ms > 0.0 { "note" } else { "gone" }).test_id("image-time");
    line.words(words)
}

/// What the browser keeps, and the button that lets it go.
pub fn kept(page: Page) -> Element {
    measure_room(page);
    let words = move || {
        let [used, most] = page.images.room.get().map(megabytes);
        page.filled("images.kept-room", &[("used", &used), ("most", &most)])
    };
    let none = move || page.images.room.get()[1] <= 0.0;
    element("div").gone_when(none).holds(&[
        element("p").class("note").test_id("kept-room").words(words),
        quiet("let-go", "images.let-go", move || start(let_go(page))),
    ])
}

async fn let_go(page: Page) {
    if let Some(caches) = caches() {
        // What cannot be let go shows in what is still kept.
        drop(JsFuture::from(caches.delete(WEIGHTS_CACHE)).await);
    }
    page.tell(Session::forget_model);
    measure_room(page);
}

/// Asks the browser how much this site keeps.
pub fn measure_room(page: Page) {
    start(async move {
        let estimate = answer(&storage(), "estimate", &JsValue::UNDEFINED).await;
        page.images.room.set(["usage", "quota"].map(|name| amount(&estimate, name)));
    });
}

fn storage() -> JsValue {
    get(window().navigator().as_ref(), "storage")
}

/// Missing where the page is not served securely.
fn caches() -> Option<CacheStorage> {
    get(&window(), "caches").dyn_into().ok()
}

/// Whether a model was kept from an earlier visit.
async fn is_kept(model: &str) -> bool {
    let find = async {
        let store: Cache = JsFuture::from(caches()?.open(WEIGHTS_CACHE)).await.ok()?.dyn_into().ok()?;
        let found = store.match_with_str(&kept_address(&model_key(model)));
        JsFuture::from(found).await.ok()?.dyn_into::<Response>().ok()
    };
    find.await.is_some()
}

/// Lets models that were kept be taken from there when they are named: nobody is asked for them.
pub fn follow(page: Page) {
    let named = memo(move || page.config.with(|config| config.weights.hub().map(str::to_owned)));
    effect(move || {
        let Some(model) = named.get() else { return };
        if page.session.with_untracked(|session| session.allows_model(&model)) {
            return;
        }
        start(async move {
            let still = || page.config.with_untracked(|config| config.weights.hub() == Some(&model));
            if is_kept(&model).await && still() {
                page.tell(|session| session.allow_model(&model, ""));
                if page.images.awaited.with_value(|awaited| *awaited == model) {
                    begin(page, &model);
                }
            }
        });
    });
}
