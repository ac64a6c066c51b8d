//! Where what arrives by callback waits for who asks for it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// What has arrived, and who waits for it.
pub struct Queue<T> {
    messages: VecDeque<T>,
    waiting: Option<Waker>,
}

impl<T> Queue<T> {
    /// Nothing yet.
    pub fn new() -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self { messages: VecDeque::new(), waiting: None }))
    }

    /// The next message, if there is one.
    pub fn pop(&mut self) -> Option<T> {
        self.messages.pop_front()
    }
}

/// Puts a message into a queue and wakes the waiting task. The queue is free again before anything else runs.
pub fn deliver<T>(queue: &RefCell<Queue<T>>, message: T) {
    let waiting = {
        let mut queue = queue.borrow_mut();
        queue.messages.push_back(message);
        queue.waiting.take()
    };
    if let Some(waker) = waiting {
        waker.wake();
    }
}

/// The next message, or a wake-up when there is one.
pub fn poll_message<T>(queue: &RefCell<Queue<T>>, context: &mut Context<'_>) -> Poll<T> {
    let mut queue = queue.borrow_mut();
    match queue.messages.pop_front() {
        Some(message) => Poll::Ready(message),
        None => {
            queue.waiting = Some(context.waker().clone());
            Poll::Pending
        }
    }
}

/// Waits for the next message.
pub async fn take<T>(queue: &RefCell<Queue<T>>) -> T {
    poll_fn(|context| poll_message(queue, context)).await
}
