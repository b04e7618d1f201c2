//! Which items each step learns from.

use crate::recipe::{Length, Recipe};
use crate::rng::Stream;

/// The order of items, epoch by epoch, cut into accumulation windows.
pub(crate) struct Windows {
    seed: [u8; 32],
    items: usize,
    window: usize,
    epoch: u64,
    order: Vec<usize>,
    at: usize,
}

impl Windows {
    pub(crate) fn new(seed: [u8; 32], items: usize, window: usize) -> Self {
        let order = Stream::order(&seed, 0).permutation(items);
        Self { seed, items, window: window.min(items), epoch: 0, order, at: 0 }
    }

    /// Steps that the recipe asks for.
    pub(crate) fn planned(&self, recipe: &Recipe) -> u32 {
        match recipe.length {
            Length::Steps(steps) => steps,
            Length::Epochs(epochs) => {
                let steps = self.items.div_ceil(self.window) as f64 * epochs;
                steps.ceil().clamp(1.0, 1e6) as u32
            }
        }
    }

    /// Indices of the next window; an epoch's last window may be shorter.
    pub(crate) fn next(&mut self) -> Vec<usize> {
        if self.at == self.order.len() {
            self.epoch += 1;
            self.order = Stream::order(&self.seed, self.epoch).permutation(self.items);
            self.at = 0;
        }
        let end = (self.at + self.window).min(self.order.len());
        let window = self.order[self.at..end].to_vec();
        self.at = end;
        window
    }
}

#[cfg(test)]
mod tests {
    use super::Windows;

    #[test]
    fn an_epoch_sees_every_item_once_and_the_next_in_another_order() {
        let mut windows = Windows::new([3; 32], 10, 4);
        let epoch = |w: &mut Windows| (0..3).flat_map(|_| w.next()).collect::<Vec<_>>();
        let (first, second) = (epoch(&mut windows), epoch(&mut windows));
        assert_ne!(first, second);
        for mut epoch in [first, second] {
            epoch.sort_unstable();
            assert_eq!(epoch, (0..10).collect::<Vec<_>>());
        }
    }
}
