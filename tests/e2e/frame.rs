//! The page in a frame of a page of another origin: what it shows there, what the two tell each other.

use std::fs;

use scorefield::serve::Server;
use serde_json::{Value, json};

use super::page::{LIVE, Page, SOON};

/// A page around a frame: of another origin than the frame, for it has another port.
struct Around {
    page: Page,
    _server: Server,
}

/// Opens a page that holds the built one in a frame, with these attributes and this link.
fn around(name: &'static str, attributes: &str, fragment: &str) -> Around {
    // As a frame too, so that it keeps no copy of itself.
    let page = Page::open(name, "#device=cpu&embed=1");
    let folder = page.folder.join("around");
    fs::create_dir_all(&folder).expect("a folder");
    let frame = format!("{}some/where/{}", page.origin(), fragment.replace('&', "&amp;"));
    let html = format!(
        "<!DOCTYPE html><html lang='en'><head><title>around</title></head><body><script>
         globalThis.heard = [];
         addEventListener('message', event => {{
           if (event.source === document.querySelector('iframe').contentWindow)
             heard.push({{ origin: event.origin, data: event.data }});
         }});
         </script><iframe title='frame' src='{frame}' width='800' height='640' {attributes}></iframe></body></html>"
    );
    fs::write(folder.join("index.html"), html).expect("a file of ours");
    let server = Server::start(&folder, "", 0).expect("a free port");
    page.browser.goto(&format!("http://{}/", server.address()));
    Around { page, _server: server }
}

impl Around {
    /// The last message of the frame with this property.
    fn heard(&self, name: &str) -> Option<Value> {
        let said = self.page.browser.script(
            "return heard.filter(({ data }) => data.scorefield === 1 && arguments[0] in data).pop() ?? null;",
            &[json!(name)],
        );
        Some(said).filter(|said| !said.is_null())
    }

    /// Waits until the frame tells this state after what was asked last.
    fn state(&self, state: &str) -> Value {
        self.page.until(&format!("the frame says {state}"), SOON, || {
            let said = self.heard("state")?;
            (said["data"]["state"] == state).then_some(said)
        })
    }

    /// Sends the frame a message, after forgetting what it has said.
    fn tell(&self, message: &Value) {
        self.page.browser.script(
            "heard.length = 0;
             document.querySelector('iframe').contentWindow.postMessage(arguments[0], '*');",
            std::slice::from_ref(message),
        );
    }
}

#[test]
fn a_frame_shows_the_experiment_alone_takes_settings_and_tells_numbers() {
    let around = around("frame", "", &format!("{LIVE}&embed=1&controls=chains"));
    let done = around.state("done");
    assert_eq!(done["origin"].as_str(), Some(around.page.origin().trim_end_matches('/')));
    let claims = done["data"]["claims"].as_object().expect("claims");
    assert!(!claims.is_empty());
    for claim in claims.values() {
        assert!(claim["value"].is_number() && claim["error"].is_number() && claim["verdict"].is_string(), "{claim}");
    }
    let link = done["data"]["link"].as_str().expect("a link").to_owned();
    assert!(link.contains("chains=200") && !link.contains("embed"), "{link}");

    // What is seen in the frame.
    around.page.browser.enter_frame("iframe");
    let seen = "return [...document.querySelectorAll(arguments[0])].some(e => e.checkVisibility());";
    let sees = |selector: &str| around.page.browser.script(seen, &[json!(selector)]).as_bool() == Some(true);
    for there in
        ["[data-testid='run']", "canvas", "[data-testid='claim']", "#chains", "[data-testid='full-page']", "h2"]
    {
        assert!(sees(there), "{there} is not shown");
    }
    for away in ["body > header", "#langevin-steps", ".device", ".share", "[data-testid='offline']"] {
        assert!(!sees(away), "{away} is shown");
    }
    let page = &around.page;
    assert_eq!(page.attribute("full-page", "href").as_deref(), Some(link.as_str()));
    // Sized to its frame, and no dead end for the keyboard: the control moves the figure.
    let wide = page.browser.script("return document.documentElement.scrollWidth - innerWidth;", &[]);
    assert!(wide.as_i64().is_some_and(|wide| wide <= 0), "{wide}");
    page.set("chains", "300");
    page.until("the frame's address follows and stays a frame's", SOON, || {
        let fragment = page.fragment();
        (fragment.contains("chains=300") && fragment.contains("embed=1&controls=chains")).then_some(())
    });
    let kept = page.browser.script("return navigator.serviceWorker.getRegistrations().then(all => all.length);", &[]);
    assert_eq!(kept.as_u64(), Some(0), "a frame keeps a copy");
    page.browser.leave_frame();

    // Another experiment, begun by a message.
    around.tell(&json!({ "scorefield": 1, "open":
        "#dataset=mixture&denoiser=exact&samples=500&steps=7&device=cpu&run=1&embed=1&controls=steps" }));
    let done = around.state("done");
    assert_eq!(done["data"]["evaluations"].as_u64(), Some(7));
    assert!(done["data"]["kl"].as_f64().is_some_and(|kl| kl > 0.0), "{done}");
    // Stopped by a message.
    around.tell(&json!({ "scorefield": 1, "open": "#dataset=moons&device=cpu&training-steps=100000&run=1" }));
    around.state("running");
    around.tell(&json!({ "scorefield": 1, "stop": true }));
    around.state("done");
    // What it does not understand is answered, and what is not for it is not.
    around.tell(&json!({ "scorefield": 1, "paint": "red" }));
    let answered = around.page.until("it says so", SOON, || around.heard("error"));
    assert_eq!(answered["data"]["error"], "message");
    around.tell(&json!({ "type": "somebody else's" }));
    around.tell(&json!({ "scorefield": 1, "open": "#steps=no&embed=1&controls=steps&device=cpu" }));
    around.state("idle");
    assert_eq!(around.heard("error"), None);
    around.page.browser.enter_frame("iframe");
    assert!(!around.page.text("notice").is_empty(), "a link that could not be read as it stood");
    around.page.browser.leave_frame();
}

#[test]
fn origins_that_the_site_does_not_list_are_refused() {
    let around = around("frame-origins", "", "#device=cpu&embed=1");
    around.state("idle");
    let served = around.page.folder.join("served");
    let index = fs::read_to_string(served.join("index.html")).expect("the page");
    let listed =
        index.replace("name=\"frame-origins\" content=\"*\"", "name=\"frame-origins\" content=\"https://a.example\"");
    assert_ne!(listed, index, "the list is in the page");
    super::page::replace(&served, "index.html", &listed);
    around.page.browser.reload();
    around.page.until("the frame has started", SOON, || {
        around.tell(&json!({ "scorefield": 1, "open": "#device=cpu&seed=5" }));
        around.heard("error").filter(|said| said["data"]["error"] == "origin")
    });
    assert_eq!(around.heard("state"), None, "its state is for others");
    around.page.browser.enter_frame("iframe");
    assert!(!around.page.fragment().contains("seed=5"), "{}", around.page.fragment());
    around.page.browser.leave_frame();
}

#[test]
fn a_sandbox_that_allows_scripts_and_the_origin_works_and_another_one_is_a_sentence() {
    let whole = around("frame-sandbox", "sandbox='allow-scripts allow-same-origin'", "#device=cpu&embed=1");
    whole.state("idle");
    let bare = around("frame-bare", "sandbox", "#device=cpu&embed=1");
    let shut = around("frame-shut", "sandbox='allow-scripts'", "#device=cpu&embed=1");
    for around in [&bare, &shut] {
        // Its own document cannot be looked into without scripts; the driver can.
        around.page.browser.enter_frame("iframe");
        let text = around.page.browser.text_of("body").expect("a body");
        assert!(text.contains("sandbox has to allow scripts and the same origin"), "{text}");
        around.page.browser.leave_frame();
        assert_eq!(around.heard("state"), None);
    }
}

#[test]
fn the_page_writes_the_frame_that_shows_what_is_on_it() {
    let page = Page::open("frame-code", &format!("{LIVE}&seed=4"));
    page.wait_for(&["done"], SOON);
    let code = page.value("embed-code");
    assert!(code.starts_with("<iframe src=\"http://") && code.contains("embed=1&amp;controls="), "{code}");
    // The page takes no HTML from a test: what its attributes say is read here.
    let attribute = |name: &str| {
        let (_, rest) = code.split_once(&format!(" {name}=\"")).unwrap_or_default();
        rest.split_once('"').map_or_else(String::new, |(value, _)| value.replace("&amp;", "&"))
    };
    assert_ne!(attribute("title"), "");
    let address = attribute("src");
    let (_, fragment) = address.split_once('#').expect("a fragment");
    page.go(&format!("#{fragment}"));
    page.wait_for(&["done"], SOON);
    assert_eq!(page.value("chains"), "200");
    page.close();
}
