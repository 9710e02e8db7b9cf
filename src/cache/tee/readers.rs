//! [`Readers`]: how far each reader of a body in flight has read.

use std::task::Waker;

use slab::Slab;

pub(crate) struct Reading {
    /// The number of the chunk that it reads next.
    pub(crate) next: u64,
    /// How many bytes it has read.
    pub(crate) offset: u64,
    pub(crate) position: Position,
    pub(crate) has_ended: bool,
    pub(crate) waker: Option<Waker>,
}

/// What a reader reads from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// The replay buffer.
    Buffer,
    /// It has fallen behind the replay buffer. It waits for the stored copy, or is lost.
    Behind,
    /// It reads nothing, and waits for the store.
    Watching,
}

/// The readers by their numbers. Most bodies have one reader, which costs no allocation.
#[derive(Default)]
pub(crate) struct Readers {
    /// Number 0.
    first: Option<Reading>,
    /// The numbers from 1 on.
    others: Slab<Reading>,
}

impl Readers {
    /// Adds a reader. Returns its number.
    pub(crate) fn insert(&mut self, reading: Reading) -> usize {
        if self.first.is_none() {
            self.first = Some(reading);
            return 0;
        }
        1 + self.others.insert(reading)
    }

    /// The reader of this number, which is not dropped.
    pub(crate) fn get(&self, number: usize) -> &Reading {
        match number.checked_sub(1) {
            None => self.first.as_ref().expect("the first reader is there"),
            Some(place) => &self.others[place],
        }
    }

    pub(crate) fn get_mut(&mut self, number: usize) -> &mut Reading {
        match number.checked_sub(1) {
            None => self.first.as_mut().expect("the first reader is there"),
            Some(place) => &mut self.others[place],
        }
    }

    pub(crate) fn remove(&mut self, number: usize) -> Option<Reading> {
        match number.checked_sub(1) {
            None => self.first.take(),
            Some(place) => self.others.try_remove(place),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none() && self.others.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Reading> {
        self.first.iter().chain(self.others.iter().map(|(_, reading)| reading))
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Reading> {
        self.first.iter_mut().chain(self.others.iter_mut().map(|(_, reading)| reading))
    }
}
