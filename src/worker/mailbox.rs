//! Where what arrives by callback waits for who asks for it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// What has arrived, and who waits for it.
pub struct Mailbox<T> {
    letters: VecDeque<T>,
    waiting: Option<Waker>,
}

impl<T> Mailbox<T> {
    /// Nothing yet.
    pub fn new() -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self { letters: VecDeque::new(), waiting: None }))
    }

    /// The next letter, if there is one.
    pub fn pop(&mut self) -> Option<T> {
        self.letters.pop_front()
    }
}

/// Puts a letter in and wakes who waits. The box is free again before anything else runs.
pub fn deliver<T>(mailbox: &RefCell<Mailbox<T>>, letter: T) {
    let waiting = {
        let mut mailbox = mailbox.borrow_mut();
        mailbox.letters.push_back(letter);
        mailbox.waiting.take()
    };
    if let Some(waker) = waiting {
        waker.wake();
    }
}

/// The next letter, or a wake-up when there is one.
pub fn poll_letter<T>(mailbox: &RefCell<Mailbox<T>>, context: &mut Context<'_>) -> Poll<T> {
    let mut mailbox = mailbox.borrow_mut();
    match mailbox.letters.pop_front() {
        Some(letter) => Poll::Ready(letter),
        None => {
            mailbox.waiting = Some(context.waker().clone());
            Poll::Pending
        }
    }
}

/// Waits for the next letter.
pub async fn take<T>(mailbox: &RefCell<Mailbox<T>>) -> T {
    poll_fn(|context| poll_letter(mailbox, context)).await
}
