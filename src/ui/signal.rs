//! Signals of the page and what follows from them.
//!
//! Leptos has both for every type of a value, and makes some two thousand bytes of code for each. The page has fifty such
//! types. Here Leptos keeps count of who follows what, in one type, and the values lie beside it.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::{PoisonError, RwLock};

use leptos::prelude::{
    ArcMemo, ArcTrigger, Get, GetUntracked, Notify, RwSignal, StoredValue, Track, Update, UpdateValue, WithValue,
    on_cleanup,
};
use leptos::reactive::graph::{AnySubscriber, Subscriber as _, ToAnySubscriber as _};

/// A value that lasts as long as the page and that nobody follows.
#[derive(Default)]
pub struct Kept<T>(RwLock<T>);

impl<T> Kept<T> {
    /// At its start.
    pub const fn new(value: T) -> Self {
        Self(RwLock::new(value))
    }

    /// Looks at the value.
    pub fn with_value<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the value.
    pub fn update_value<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Another value.
    pub fn set_value(&self, value: T) {
        self.update_value(|now| *now = value);
    }
}

/// Takes what follows signals off their lists with the owner of the moment. Leptos leaves it there until the signal changes,
/// which some never do: every view that was ever shown would be on the list of the language.
pub fn unsubscribe_at_end(subscriber: AnySubscriber) {
    on_cleanup(move || subscriber.clear_sources(&subscriber));
}

/// A value that lasts as long as the page; who reads it in an effect follows it.
#[derive(Default)]
pub struct Signal<T> {
    value: Kept<T>,
    changed: ArcTrigger,
}

impl<T> Signal<T> {
    /// At its start.
    pub fn new(value: T) -> Self {
        Self { value: Kept::new(value), changed: ArcTrigger::new() }
    }

    /// Follows the value without looking at it.
    pub fn track(&self) {
        self.changed.track();
    }

    /// Tells everybody who follows.
    pub fn notify(&self) {
        self.changed.notify();
    }

    /// Looks at the value and follows it.
    pub fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        self.track();
        self.value.with_value(look)
    }

    /// Looks at the value without following it.
    pub fn with_untracked<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        self.value.with_value(look)
    }

    /// Another value.
    pub fn set(&self, value: T) {
        self.value.set_value(value);
        self.notify();
    }

    /// Changes the value.
    pub fn update(&self, change: impl FnOnce(&mut T)) {
        self.value.update_value(change);
        self.notify();
    }
}

impl<T: Clone> Signal<T> {
    /// A copy of the value, followed.
    pub fn get(&self) -> T {
        self.with(T::clone)
    }

    /// A copy of the value, not followed.
    pub fn get_untracked(&self) -> T {
        self.with_untracked(T::clone)
    }
}

/// What follows from signals, as long as the owner of the moment is there. It is told on only when it changes.
pub struct Memo<T> {
    /// How often it has changed.
    changes: leptos::prelude::Memo<u32>,
    value: StoredValue<Something>,
    of: PhantomData<T>,
}

impl<T> Clone for Memo<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Memo<T> {}

/// A value of any type.
type Something = Box<dyn Any + Send + Sync>;

/// What `make` makes of signals.
pub fn memo<T: PartialEq + Send + Sync + 'static>(make: impl Fn() -> T + Send + Sync + 'static) -> Memo<T> {
    let value: StoredValue<Something> = StoredValue::new(Box::new(None::<T>));
    let renew = move |kept: &mut Something| {
        let Some(last) = kept.downcast_mut::<Option<T>>() else { return false };
        let now = Some(make());
        let changed = *last != now;
        *last = now;
        changed
    };
    Memo { changes: counted(value, Box::new(renew)), value, of: PhantomData }
}

/// How often `renew` has found something else.
fn counted(
    value: StoredValue<Something>,
    renew: Box<dyn Fn(&mut Something) -> bool + Send + Sync>,
) -> leptos::prelude::Memo<u32> {
    let memo = ArcMemo::new(move |last: Option<&u32>| {
        let changed = value.try_update_value(|kept| renew(kept)).unwrap_or(false);
        last.map_or(0, |last| last.wrapping_add(u32::from(changed)))
    });
    unsubscribe_at_end(memo.to_any_subscriber());
    memo.into()
}

fn look_at(value: StoredValue<Something>, look: &mut dyn FnMut(&Something)) {
    value.with_value(|kept| look(kept));
}

impl<T: 'static> Memo<T> {
    fn look<R>(self, look: impl FnOnce(&T) -> R) -> R {
        let (mut look, mut answer) = (Some(look), None);
        look_at(self.value, &mut |kept| {
            if let Some(Some(kept)) = kept.downcast_ref::<Option<T>>() {
                answer = look.take().map(|look| look(kept));
            }
        });
        answer.expect("a value of the type that the memo was made for")
    }

    /// Follows the value without looking at it.
    pub fn track(self) {
        self.changes.track();
    }

    /// Looks at the value and follows it.
    pub fn with<R>(self, look: impl FnOnce(&T) -> R) -> R {
        self.changes.get();
        self.look(look)
    }
}

impl<T: Clone + 'static> Memo<T> {
    /// A copy of the value, followed.
    pub fn get(self) -> T {
        self.with(T::clone)
    }

    /// A copy of the value, not followed.
    pub fn get_untracked(self) -> T {
        self.changes.get_untracked();
        self.look(T::clone)
    }
}

/// A value that lasts as long as the owner of the moment; who reads it in an effect follows it.
pub struct Local<T> {
    /// How often it was changed.
    changes: RwSignal<u32>,
    value: StoredValue<Something>,
    of: PhantomData<T>,
}

impl<T> Clone for Local<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Local<T> {}

fn change(changes: RwSignal<u32>, value: StoredValue<Something>, change: &mut dyn FnMut(&mut Something)) {
    value.update_value(|kept| change(kept));
    changes.update(|count| *count = count.wrapping_add(1));
}

impl<T: Send + Sync + 'static> Local<T> {
    /// At its start.
    pub fn new(value: T) -> Self {
        Self { changes: RwSignal::new(0), value: StoredValue::new(Box::new(value)), of: PhantomData }
    }

    /// Follows the value without looking at it.
    pub fn track(self) {
        self.changes.track();
    }

    /// Looks at the value and follows it.
    pub fn with<R>(self, look: impl FnOnce(&T) -> R) -> R {
        self.track();
        self.with_untracked(look)
    }

    /// Looks at the value without following it.
    pub fn with_untracked<R>(self, look: impl FnOnce(&T) -> R) -> R {
        let (mut look, mut answer) = (Some(look), None);
        look_at(self.value, &mut |kept| {
            answer = kept.downcast_ref().and_then(|kept| look.take().map(|look| look(kept)));
        });
        answer.expect("a value of the type that it was made with")
    }

    /// Changes the value.
    pub fn update(self, by: impl FnOnce(&mut T)) {
        let mut by = Some(by);
        change(self.changes, self.value, &mut |kept| {
            if let (Some(kept), Some(by)) = (kept.downcast_mut(), by.take()) {
                by(kept);
            }
        });
    }

    /// Another value.
    pub fn set(self, value: T) {
        self.update(|now| *now = value);
    }
}

impl<T: Clone + Send + Sync + 'static> Local<T> {
    /// A copy of the value, followed.
    pub fn get(self) -> T {
        self.with(T::clone)
    }

    /// A copy of the value, not followed.
    pub fn get_untracked(self) -> T {
        self.with_untracked(T::clone)
    }
}
