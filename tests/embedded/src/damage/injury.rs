//! Damage to a file: one zeroed page, or random damage.

use std::fmt;

use crate::faults::random;

/// Damage to a file.
#[derive(Clone, Debug)]
pub(super) enum Injury {
    /// Zeroes the bytes from the first position to before the second.
    Zeroed(usize, usize),
    /// Flips these bits of the bytes at these positions.
    Flipped(Vec<(usize, u8)>),
    /// Truncates the file to this length.
    Truncated(usize),
}

impl Injury {
    /// Zeroes the page with this number.
    pub(super) fn page(number: usize, page: usize) -> Self {
        Self::Zeroed(number * page, (number + 1) * page)
    }

    /// Damage to a file of `len` bytes, by the seed and the number.
    pub(super) fn random(seed: u64, number: u64, len: usize, page: usize) -> Self {
        let mut state = seed.wrapping_add(number << 40);
        let mut below = |bound: usize| (random(&mut state) % bound as u64) as usize;
        let pages = len / page;
        match number % 5 {
            // The beginning of a page, which has its structure.
            0 | 1 => {
                let at = below(pages) * page;
                Self::Flipped((at..at + 16).map(|at| (at, 1 + below(255) as u8)).collect())
            }
            // A single bit or several ones, anywhere.
            2 => Self::Flipped(
                (0..1 + below(8)).map(|_| (below(len), 1 << below(8) as u8)).collect(),
            ),
            3 => Self::page(below(pages), page),
            _ => Self::Truncated(below(len)),
        }
    }

    /// Applies the damage to the bytes of a file.
    pub(super) fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Zeroed(from, to) => {
                let to = (*to).min(file.len());
                file[*from..to].fill(0);
            }
            Self::Flipped(bytes) => bytes.iter().for_each(|&(at, bits)| file[at] ^= bits),
            Self::Truncated(len) => file.truncate(*len),
        }
    }
}

impl fmt::Display for Injury {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zeroed(from, to) => write!(f, "bytes {from} to {to} zeroed"),
            Self::Flipped(bytes) => {
                write!(f, "{} bytes flipped, the first at {}", bytes.len(), bytes[0].0)
            }
            Self::Truncated(len) => write!(f, "truncated to {len} bytes"),
        }
    }
}
