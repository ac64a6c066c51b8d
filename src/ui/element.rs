//! Elements of the page. Signals and owners of Leptos say when something changes; what changes is written straight into
//! the document.
//!
//! A template of Leptos becomes code of its own for every place in it, two thirds of the page when it had only begun with
//! images. Here every place is a call of the same few functions, whatever it shows: what differs is boxed.

use leptos::prelude::*;
use leptos::reactive::graph::ToAnySubscriber as _;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue, UnwrapThrowExt};
use web_sys::{Event, HtmlCanvasElement, HtmlInputElement, Node};

use super::signal::unsubscribe_at_end;
use super::state::{memo, page};
use super::trusted::set_inside;

/// Where the elements of a drawing have their names from.
const SVG: &str = "http://www.w3.org/2000/svg";

/// An element that is being made. What follows signals does so until the owner of the moment is gone: for what stands
/// in [`Element::changing`], until it is made anew.
pub struct Element(web_sys::Element);

/// What a text that follows signals is written into.
enum Place {
    Attribute(&'static str),
    Property(&'static str),
    /// A node of text.
    Text(Node),
    /// All that is inside, as HTML: of our own making only.
    Inside,
}

/// What an element listens with until the owner of the moment is gone. The browser cannot free it by itself: what is done may
/// hold elements, which hold their listeners, and it does not see through our memory that nobody else holds any of them.
struct Listener {
    of: web_sys::Element,
    name: &'static str,
    act: Closure<dyn FnMut(Event)>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.of.remove_event_listener_with_callback(self.name, self.act.as_ref().unchecked_ref());
    }
}

/// What appears and disappears with a condition.
enum Mark {
    Class,
    Attribute,
    Property,
}

/// An element with this name.
pub fn element(name: &str) -> Element {
    // No name is anything but a constant.
    Element(document().create_element(name).unwrap_throw())
}

/// An element of a drawing.
pub fn drawing(name: &str) -> Element {
    Element(document().create_element_ns(Some(SVG), name).unwrap_throw())
}

/// Does something now, and again whenever a signal that it reads has changed, as long as the owner of the moment is
/// there.
fn watch(mut act: Box<dyn FnMut()>) {
    let effect = RenderEffect::new(move |_: Option<()>| act());
    unsubscribe_at_end(effect.to_any_subscriber());
    on_cleanup(move || drop(effect));
}

fn set_property(of: &web_sys::Element, name: &str, value: &JsValue) {
    // Elements are never frozen.
    let _ = js_sys::Reflect::set(of, &JsValue::from_str(name), value);
}

/// What every element can have, each at its creation.
impl Element {
    /// An attribute that stays.
    pub fn attribute(self, name: &str, value: &str) -> Self {
        // Names of attributes are constants too.
        let _ = self.0.set_attribute(name, value);
        self
    }

    /// Classes that stay.
    pub fn class(self, names: &str) -> Self {
        self.attribute("class", names)
    }

    /// The name that tests know it by.
    pub fn test_id(self, id: &str) -> Self {
        self.attribute("data-testid", id)
    }

    /// A text that stays, after what is inside already.
    pub fn plain(self, text: &str) -> Self {
        self.append(&document().create_text_node(text));
        self
    }

    /// Other elements, after what is inside already.
    pub fn holds(self, others: &[Self]) -> Self {
        for other in others {
            self.append(&other.0);
        }
        self
    }

    /// Another element, after what is inside already.
    pub fn child(self, other: Self) -> Self {
        self.append(&other.0);
        self
    }

    fn append(&self, node: &Node) {
        // Fails only for what contains this element.
        let _ = self.0.append_child(node);
    }

    fn follow(self, place: Place, value: Box<dyn Fn() -> String>) -> Self {
        let element = self.0.clone();
        let mut last = None;
        watch(Box::new(move || {
            let now = value();
            // What is as it was is not written again: somebody may be typing there.
            if last.as_ref() == Some(&now) {
                return;
            }
            match &place {
                Place::Attribute(name) => drop(element.set_attribute(name, &now)),
                Place::Property(name) => set_property(&element, name, &JsValue::from_str(&now)),
                Place::Text(node) => node.set_text_content(Some(&now)),
                Place::Inside => set_inside(&element, &now),
            }
            last = Some(now);
        }));
        self
    }

    fn mark(self, mark: Mark, name: &'static str, when: Box<dyn Fn() -> bool>) -> Self {
        let element = self.0.clone();
        let mut last = None;
        watch(Box::new(move || {
            let now = when();
            if last == Some(now) {
                return;
            }
            match mark {
                Mark::Class => drop(element.class_list().toggle_with_force(name, now)),
                Mark::Attribute => drop(element.toggle_attribute_with_force(name, now)),
                Mark::Property => set_property(&element, name, &JsValue::from_bool(now)),
            }
            last = Some(now);
        }));
        self
    }

    /// An attribute that follows signals.
    pub fn attribute_of(self, name: &'static str, value: impl Fn() -> String + 'static) -> Self {
        self.follow(Place::Attribute(name), Box::new(value))
    }

    /// A property that follows signals: what a control shows, and not what it showed at first.
    pub fn property_of(self, name: &'static str, value: impl Fn() -> String + 'static) -> Self {
        self.follow(Place::Property(name), Box::new(value))
    }

    /// A text that follows signals, after what is inside already.
    pub fn words(self, words: impl Fn() -> String + 'static) -> Self {
        let node = document().create_text_node("");
        self.append(&node);
        self.follow(Place::Text(node.into()), Box::new(words))
    }

    /// The text of the locale files with this key.
    pub fn says(self, key: &'static str) -> Self {
        let page = page();
        self.words(move || page.text(key))
    }

    /// The text of the locale files with this key, as the name that is read aloud.
    pub fn label(self, key: &'static str) -> Self {
        let page = page();
        self.attribute_of("aria-label", move || page.text(key))
    }

    /// All that is inside as HTML, which must be of our own making.
    pub fn html(self, html: impl Fn() -> String + 'static) -> Self {
        self.follow(Place::Inside, Box::new(html))
    }

    /// A class while something holds.
    pub fn class_when(self, name: &'static str, when: impl Fn() -> bool + 'static) -> Self {
        self.mark(Mark::Class, name, Box::new(when))
    }

    /// Not to be seen while something holds.
    pub fn gone_when(self, when: impl Fn() -> bool + 'static) -> Self {
        self.class_when("gone", when)
    }

    /// An attribute without a value while something holds.
    pub fn attribute_when(self, name: &'static str, when: impl Fn() -> bool + 'static) -> Self {
        self.mark(Mark::Attribute, name, Box::new(when))
    }

    /// A property that is true while something holds.
    pub fn property_when(self, name: &'static str, when: impl Fn() -> bool + 'static) -> Self {
        self.mark(Mark::Property, name, Box::new(when))
    }

    /// Listens to events with this name.
    pub fn on<E: JsCast>(self, name: &'static str, mut act: impl FnMut(E) + 'static) -> Self {
        self.listen(name, Box::new(move |event| act(event.unchecked_into())))
    }

    /// Listens to being pressed.
    pub fn press(self, act: impl Fn() + 'static) -> Self {
        self.listen("click", Box::new(move |_| act()))
    }

    /// Listens to another value, chosen or typed.
    pub fn change(self, act: impl Fn(String) + 'static) -> Self {
        self.listen("change", Box::new(move |event| act(event_target_value(&event))))
    }

    fn listen(self, name: &'static str, act: Box<dyn FnMut(Event)>) -> Self {
        let listener = Listener { of: self.0.clone(), name, act: Closure::wrap(act) };
        let _ = self.0.add_event_listener_with_callback(name, listener.act.as_ref().unchecked_ref());
        // Ends with the owner of the moment.
        StoredValue::new_local(listener);
        self
    }

    /// Elements that are made anew whenever a signal that was read for them has changed, after what is inside already.
    pub fn changing(self, make: impl Fn() -> Vec<Self> + 'static) -> Self {
        self.change_inside(Box::new(make))
    }

    fn change_inside(self, make: Box<dyn Fn() -> Vec<Self>>) -> Self {
        // Between two empty texts: before and after it others may change.
        let [begin, end] = [(); 2].map(|()| document().create_text_node(""));
        self.append(&begin);
        self.append(&end);
        let element = self.0.clone();
        watch(Box::new(move || {
            let made = make();
            while let Some(old) = begin.next_sibling().filter(|node| !node.is_same_node(Some(&end))) {
                let _ = element.remove_child(&old);
            }
            for new in made {
                let _ = element.insert_before(&new.0, Some(&end));
            }
        }));
        self
    }

    /// Elements that are there while something holds.
    pub fn when(
        self,
        holds: impl Fn() -> bool + Send + Sync + 'static,
        make: impl Fn() -> Vec<Self> + 'static,
    ) -> Self {
        let holds = memo(holds);
        self.change_inside(Box::new(move || if holds.get() { make() } else { Vec::new() }))
    }

    /// The element as the document has it.
    pub fn node(&self) -> web_sys::Element {
        self.0.clone()
    }

    /// The element as a canvas, which it must be.
    pub fn canvas(&self) -> HtmlCanvasElement {
        self.0.clone().unchecked_into()
    }

    /// The element as an input, which it must be.
    pub fn input(&self) -> HtmlInputElement {
        self.0.clone().unchecked_into()
    }

    /// The element as HTML.
    pub fn markup(&self) -> String {
        self.0.outer_html()
    }

    /// Puts it at the end of the page.
    pub fn mount(self) {
        if let Some(body) = document().body() {
            let _ = body.append_child(&self.0);
        }
    }
}
