//! Further workers that evaluate images for the one that samples.
//!
//! A page without cross-origin isolation has no shared memory, so every worker holds the network for itself, and images
//! go to and fro as messages: 12 KB for a network that computes some milliseconds on them at least. Each is evaluated
//! alone, as one worker evaluates it, and so has the same bits whoever does it.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use super::model::ImageModel;
use crate::engine::inbox::{Inbox, Member, Port, Waiting, calls_away};
use crate::nn::unet::Cost;
use crate::protocol::Floats;
use crate::protocol::crew::{Heard, Order, Said};
use crate::protocol::images::MOST_WORKERS;
use crate::wire;

const MOST: usize = MOST_WORKERS as usize;
/// Most bytes that all of them may hold.
const MOST_BYTES: u64 = 512 << 20;
/// And of the machine's memory, where that is known, at most one part in so many.
const SHARE: u64 = 8;
/// Bytes that a worker takes before it holds anything.
const PROGRAM: u64 = 16 << 20;
/// How long an answer is waited for, in milliseconds: this and so many times the longest so far.
const PATIENCE_MS: f64 = 10_000.0;
const PATIENCE: f64 = 10.0;

/// How many workers there is memory for, each with a network of so many bytes and room to evaluate it.
#[must_use]
pub fn room(weights: u64, cost: &Cost, memory: Option<u64>) -> usize {
    let bytes = memory.map_or(MOST_BYTES, |memory| MOST_BYTES.min(memory / SHARE));
    (bytes / (weights + cost.bytes + PROGRAM)).min(MOST as u64) as usize
}

/// Evaluations to be made, of one image each.
pub struct Asks {
    /// How many images.
    pub count: usize,
    /// All of them, one after the other.
    pub images: Vec<f32>,
    /// The time in the network's own units.
    pub time: f64,
    /// Of which image, told which class.
    pub each: Vec<(usize, Option<usize>)>,
}

/// Those who were hired, kept for the next run.
#[derive(Default)]
pub struct Crew {
    hands: Vec<Hand>,
    /// Most cores to keep busy, if somebody limits them.
    pub cores: Option<u32>,
    /// How many there can be, since one failed.
    left: Option<usize>,
    /// Parameters of the network.
    parameters: usize,
    /// Asks so far: their names.
    asked: u32,
    longest_ms: f64,
    alarm: Option<Waiting<'static, ()>>,
    /// Whether nobody has said anything since the last alarm.
    silent: bool,
}

struct Hand {
    member: Box<dyn Member>,
    state: State,
    /// When it was given what it does.
    since: f64,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    /// It has not said yet that it is there.
    Starting,
    /// It is told the network: its shape first, then its parameters. This comes next.
    Learning(usize),
    /// It has nothing to do.
    Free,
    /// It evaluates what has this name.
    Busy(u32),
}

/// What is done of an evaluation of several images.
struct Work {
    /// Name of the first ask.
    first: u32,
    answers: Vec<Option<Vec<f32>>>,
    /// Asks that nobody works on, the next one last.
    open: Vec<usize>,
    /// Numbers of an answer.
    length: usize,
}

impl Work {
    /// Which ask has this name; those of earlier evaluations are none.
    fn place(&self, name: u32) -> Option<usize> {
        let place = name.wrapping_sub(self.first) as usize;
        (place < self.answers.len()).then_some(place)
    }

    /// What this one works on goes to somebody else.
    fn reopen(&mut self, hand: &Hand) {
        if let State::Busy(name) = hand.state {
            self.open.extend(self.place(name));
        }
    }
}

impl Crew {
    /// Lets everybody go.
    pub fn dismiss(&mut self) {
        self.hands.clear();
        self.left = None;
    }

    /// Whether anybody is hired.
    #[must_use]
    pub fn is_there(&self) -> bool {
        !self.hands.is_empty()
    }

    /// How many know the network.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.hands.iter().filter(|hand| matches!(hand.state, State::Free | State::Busy(_))).count()
    }

    /// Hires as many as evaluations can be made at a time, as far as cores and memory go.
    pub fn hire<P: Port>(&mut self, evaluations: usize, model: &ImageModel, port: &P) {
        let cores = self.cores.map_or(MOST, |cores| cores as usize).min(port.cores());
        let room = room(model.summary.held_bytes as u64, &model.config().cost(model.side), port.memory());
        let most = cores.min(room);
        // One alone does no more than who hires it.
        let most = if most < 2 { 0 } else { most };
        self.hands.truncate(most);
        let wanted = most.min(evaluations).min(self.left.unwrap_or(MOST));
        while self.hands.len() < wanted {
            let Some(member) = port.hire() else { return self.left = Some(self.hands.len()) };
            self.hands.push(Hand { member, state: State::Starting, since: 0.0 });
        }
    }

    /// Has those who are there evaluate: the answer to each ask, nothing where nobody gave one; `None` when a command
    /// calls this worker away. Who does not answer or makes no sense is let go. Without asks it waits until everybody is
    /// there.
    ///
    /// `tell` is told how many answers and how many workers there are each time that something has changed.
    // Boxed, with one type for what is told: there are several callers, and it would be there for each of them.
    pub fn evaluate<'a, P: Port>(
        &'a mut self,
        model: &'a ImageModel,
        asks: &'a Asks,
        inbox: &'a mut Inbox<'_, P>,
        tell: &'a mut dyn FnMut(&mut P, usize, usize),
    ) -> Waiting<'a, Option<Vec<Option<Vec<f32>>>>> {
        Box::pin(async move {
            let count = asks.each.len();
            let mut work = Work {
                first: self.asked,
                answers: vec![None; count],
                open: (0..count).rev().collect(),
                length: model.config().output_channels() * model.side * model.side,
            };
            self.asked = self.asked.wrapping_add(count as u32);
            self.silent = false;
            loop {
                while let Poll::Ready(Some((place, heard))) = self.poll(&mut Context::from_waker(Waker::noop())) {
                    self.take(place, heard, &mut work, inbox.port.now_ms());
                }
                while self.teach(model) {
                    inbox.breathe().await;
                    if inbox.is_called_away() {
                        return None;
                    }
                }
                self.give(model, asks, &mut work, inbox.port.now_ms());
                tell(inbox.port, work.answers.iter().flatten().count(), self.workers());
                if !self.hands.iter().any(|hand| is_awaited(hand, &work)) {
                    return Some(work.answers);
                }
                if self.alarm.is_none() {
                    self.alarm = Some(inbox.port.after((PATIENCE_MS + PATIENCE * self.longest_ms) as u32));
                }
                let held = inbox.held;
                let arrival = poll_fn(|context| self.poll(context));
                match inbox.unless(|command| calls_away(command, held), arrival).await? {
                    Some((place, heard)) => self.take(place, heard, &mut work, inbox.port.now_ms()),
                    None => self.alarmed(&mut work),
                }
            }
        })
    }

    /// What is heard next, and of whom; nothing when it is time to look whether anything is.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<(usize, Option<Heard>)>> {
        for (place, hand) in self.hands.iter_mut().enumerate() {
            if let Poll::Ready(heard) = hand.member.poll_heard(context) {
                return Poll::Ready(Some((place, heard)));
            }
        }
        let rings = self.alarm.as_mut().is_some_and(|alarm| alarm.as_mut().poll(context).is_ready());
        if !rings {
            return Poll::Pending;
        }
        self.alarm = None;
        Poll::Ready(None)
    }

    fn take(&mut self, place: usize, heard: Option<Heard>, work: &mut Work, now: f64) {
        self.silent = false;
        let hand = &mut self.hands[place];
        match (heard, hand.state) {
            (Some(Heard::Ready { .. }), State::Starting) => hand.state = State::Learning(0),
            (Some(Heard::Evaluated { ask, output }), State::Busy(name))
                if ask == name && output.0.len() == work.length =>
            {
                self.longest_ms = self.longest_ms.max(now - hand.since);
                hand.state = State::Free;
                // What belongs to an evaluation that was given up is nobody's.
                if let Some(place) = work.place(name) {
                    work.answers[place] = Some(output.0);
                }
            }
            _ => {
                work.reopen(hand);
                self.hands.remove(place);
                self.left = Some(self.hands.len());
            }
        }
    }

    /// Lets those go of whom nothing was heard from one alarm to the next.
    fn alarmed(&mut self, work: &mut Work) {
        if std::mem::replace(&mut self.silent, true) {
            self.keep(|hand| {
                let late = is_awaited(hand, work);
                if late {
                    work.reopen(hand);
                }
                !late
            });
        }
    }

    /// Lets those go who fail this; nobody comes in their place.
    fn keep(&mut self, passes: impl FnMut(&mut Hand) -> bool) {
        let before = self.hands.len();
        self.hands.retain_mut(passes);
        if self.hands.len() < before {
            self.left = Some(self.hands.len());
        }
    }

    /// Tells those who do not know the network what comes next. Says whether there was anybody.
    fn teach(&mut self, model: &ImageModel) -> bool {
        let learns = |hand: &Hand| if let State::Learning(step) = hand.state { Some(step) } else { None };
        let Some(step) = self.hands.iter().filter_map(learns).min() else { return false };
        if step == 0 {
            self.parameters = model.network.parameters().len();
        }
        let order = match step.checked_sub(1) {
            // What cannot be read is too short, and refused.
            Some(place) => Order::Numbers { numbers: Floats(model.network.parameter(place).unwrap_or_default()) },
            None => Order::Lend { network: serde_json::to_string(model.config()).unwrap_or_default() },
        };
        let message = written(order);
        let last = step == self.parameters;
        self.keep(|hand| {
            if hand.state != State::Learning(step) {
                return true;
            }
            hand.state = if last { State::Free } else { State::Learning(step + 1) };
            hand.member.post(&message)
        });
        true
    }

    /// Gives those who are free something to do.
    fn give(&mut self, model: &ImageModel, asks: &Asks, work: &mut Work, now: f64) {
        let size = asks.images.len() / asks.count.max(1);
        self.keep(|hand| {
            if hand.state != State::Free {
                return true;
            }
            let Some(place) = work.open.pop() else { return true };
            let (image, class) = asks.each[place];
            let name = work.first.wrapping_add(place as u32);
            let order = Order::Evaluate {
                ask: name,
                image: Floats(asks.images[image * size..(image + 1) * size].to_vec()),
                side: model.side as u32,
                time: asks.time,
                class: class.map(|class| class as u32),
            };
            let message = written(order);
            (hand.state, hand.since) = (State::Busy(name), now);
            let sent = hand.member.post(&message);
            if !sent {
                work.reopen(hand);
            }
            sent
        });
    }
}

/// The message of an order. There is none that cannot be written; an empty one would be refused.
fn written(order: Order) -> Vec<u8> {
    wire::encode(&Said::Crew(order)).unwrap_or_default()
}

/// Whether the work needs something of this one: an answer or, where there are no asks, that it is there.
fn is_awaited(hand: &Hand, work: &Work) -> bool {
    match hand.state {
        State::Starting => work.answers.is_empty(),
        State::Busy(name) => work.place(name).is_some(),
        State::Learning(_) | State::Free => false,
    }
}
