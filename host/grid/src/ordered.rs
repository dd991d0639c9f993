//! A hash table whose elements are ordered by their hashes.
//!
//! The preferred slot of an element is its hash scaled to the size of the table. Collisions are
//! resolved by moving elements so that the order is kept (ordered linear probing: Amble and Knuth,
//! "Ordered hash tables", 1974). Therefore a range of hashes is a range of slots for any size of
//! the table: a scan can continue where it stopped even if the table has grown since, a copy can be
//! sent to another member range by range, and two copies can be compared range by range.

/// An element of an [`Ordered`] table.
pub(crate) trait Hashed {
    /// The hash of its key, which must not change.
    fn hash(&self) -> u32;
}

/// Initial number of slots beyond those that hashes scale to, for elements that are pushed past the
/// end. More are added when these are full.
const SLACK: usize = 8;
/// Slots of the smallest table.
const SLOTS_MIN: usize = 4;
/// Maximum number of elements for 100 slots.
const LOAD_PERCENT_MAX: usize = 85;
/// Number of slots that a search visits one by one before its steps grow.
const WALKED_MAX: usize = 8;
/// Growth of a full table, in percent: small steps, to save memory.
const GROWTH_PERCENT: usize = 130;

/// A hash table; see the [module](self).
#[derive(Clone, Debug)]
pub(crate) struct Ordered<T> {
    slots: Vec<Option<T>>,
    /// Number of slots that hashes scale to.
    span: usize,
    len: usize,
}

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), span: 0, len: 0 }
    }
}

impl<T: Hashed> Ordered<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of the slots.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.len() * size_of::<Option<T>>()
    }

    /// Number of slots, for [`Ordered::at`].
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The element in a slot, if any; each element is in exactly one.
    pub(crate) fn at(&self, slot: usize) -> Option<&T> {
        self.slots.get(slot)?.as_ref()
    }

    pub(crate) fn get(&self, hash: u32, is_it: impl FnMut(&T) -> bool) -> Option<&T> {
        let slot = self.find(hash, is_it)?;
        self.slots[slot].as_ref()
    }

    /// The caller must not change the hash of the element.
    pub(crate) fn get_mut(&mut self, hash: u32, is_it: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let slot = self.find(hash, is_it)?;
        self.slots[slot].as_mut()
    }

    fn find(&self, hash: u32, mut is_it: impl FnMut(&T) -> bool) -> Option<usize> {
        if self.len == 0 {
            return None;
        }
        for slot in self.after(hash, |other| other < hash)..self.slots.len() {
            match &self.slots[slot] {
                Some(element) if element.hash() == hash => {
                    if is_it(element) {
                        return Some(slot);
                    }
                }
                _ => return None,
            }
        }
        None
    }

    /// The first slot at or after the home of a hash that is empty, or whose hash does not satisfy
    /// `is_before`. This holds for all later slots as well, since elements are ordered and each is
    /// in an uninterrupted run from its home. So a long run, as while a table is filled in the
    /// order of hashes, can be searched in logarithmic time.
    fn after(&self, hash: u32, is_before: impl Fn(u32) -> bool) -> usize {
        let is_before = |slot: &Option<T>| slot.as_ref().is_some_and(|e| is_before(e.hash()));
        let home = self.home(hash).min(self.slots.len());
        let (mut low, mut step) = (home, 1);
        loop {
            let probe = low + step - 1;
            if !self.slots.get(probe).is_some_and(is_before) {
                let end = probe.min(self.slots.len());
                return low + self.slots[low..end].partition_point(is_before);
            }
            low = probe + 1;
            // Linear at first: most runs are short.
            if low - home >= WALKED_MAX {
                step *= 2;
            }
        }
    }

    /// Adds an element that is not in the table.
    pub(crate) fn insert(&mut self, element: T) {
        if (self.len + 1) * 100 > self.span * LOAD_PERCENT_MAX {
            self.resize((self.span * GROWTH_PERCENT / 100).max(self.span + SLOTS_MIN));
        }
        let hash = element.hash();
        let slot = self.after(hash, |other| other <= hash);
        let free = match self.slots.iter().skip(slot).position(Option::is_none) {
            Some(distance) => slot + distance,
            // The last elements are pushed past the end.
            None => {
                self.slots.push(None);
                self.slots.len() - 1
            }
        };
        self.slots[slot..=free].rotate_right(1);
        self.slots[slot] = Some(element);
        self.len += 1;
    }

    pub(crate) fn remove(&mut self, hash: u32, is_it: impl FnMut(&T) -> bool) -> Option<T> {
        let slot = self.find(hash, is_it)?;
        let removed = self.slots[slot].take();
        self.len -= 1;
        let mut end = slot + 1;
        while let Some(Some(next)) = self.slots.get(end)
            && self.home(next.hash()) < end
        {
            end += 1;
        }
        self.slots[slot..end].rotate_left(1);
        if self.span > SLOTS_MIN && self.len * 100 < self.span * LOAD_PERCENT_MAX / 3 {
            self.resize((self.span / 2).max(SLOTS_MIN));
        }
        removed
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten()
    }

    /// The caller must not change the hashes of the elements.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().flatten()
    }

    /// Elements with a hash of at least `from`, in the order of their hashes.
    pub(crate) fn iter_from(&self, from: u32) -> impl Iterator<Item = &T> {
        let slot = if self.len == 0 { 0 } else { self.after(from, |other| other < from) };
        self.slots[slot..].iter().flatten().skip_while(move |element| element.hash() < from)
    }

    /// Removes the elements for which `keep` returns false.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let slots = std::mem::take(self).slots;
        // Inserting in the same order makes each element the last one.
        for element in slots.into_iter().flatten().filter(|element| keep(element)) {
            self.insert(element);
        }
    }

    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash) * self.span as u64) >> 32) as usize
    }

    fn resize(&mut self, span: usize) {
        let elements = std::mem::take(&mut self.slots);
        self.span = span;
        self.slots.reserve_exact(span + SLACK);
        // In order, each element goes to its preferred slot or directly after the previous element.
        for element in elements.into_iter().flatten() {
            let home = self.home(element.hash());
            if self.slots.len() < home {
                self.slots.resize_with(home, || None);
            }
            self.slots.push(Some(element));
        }
        if self.slots.len() < span + SLACK {
            self.slots.resize_with(span + SLACK, || None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;
    use std::collections::BTreeSet;

    #[derive(Clone, Debug, PartialEq)]
    struct Element(u32, u8);

    impl Hashed for Element {
        fn hash(&self) -> u32 {
            self.0
        }
    }

    fn contents(table: &Ordered<Element>) -> Vec<(u32, u8)> {
        table.iter().map(|element| (element.0, element.1)).collect()
    }

    fn hashes() -> impl Strategy<Value = u32> {
        // Spread over the range, crowded at either end, and equal.
        prop_oneof![any::<u32>(), 0..40_u32, u32::MAX - 40..=u32::MAX, Just(7)]
    }

    proptest! {
        #[test]
        fn a_table_behaves_like_a_set_in_the_order_of_hashes(
            steps in proptest::collection::vec((hashes(), 0..4_u8, any::<bool>()), 1..400),
            from in any::<u32>(),
        ) {
            let mut table = Ordered::default();
            let mut model = BTreeSet::new();
            for (hash, key, add) in steps {
                let is_it = |element: &Element| element.1 == key;
                prop_assert_eq!(table.get(hash, is_it).is_some(), model.contains(&(hash, key)));
                if add && model.insert((hash, key)) {
                    table.insert(Element(hash, key));
                } else if !add {
                    let removed = table.remove(hash, is_it).is_some();
                    prop_assert_eq!(removed, model.remove(&(hash, key)));
                }
                prop_assert_eq!(table.len(), model.len());
            }
            let mut held = contents(&table);
            prop_assert!(held.is_sorted_by_key(|(hash, _)| *hash));
            held.sort_unstable();
            prop_assert_eq!(held, model.iter().copied().collect::<Vec<_>>());
            let later: BTreeSet<_> = table.iter_from(from).map(|e| (e.0, e.1)).collect();
            prop_assert_eq!(later, model.iter().copied().filter(|(h, _)| *h >= from).collect());
            table.retain(|element| element.1 == 0);
            let kept: BTreeSet<_> = contents(&table).into_iter().collect();
            prop_assert_eq!(kept, model.into_iter().filter(|(_, key)| *key == 0).collect());
        }
    }

    thread_local! {
        static LOOKS: Cell<usize> = const { Cell::new(0) };
    }

    /// An element that counts comparisons.
    struct Counted(u32);

    impl Hashed for Counted {
        fn hash(&self) -> u32 {
            LOOKS.set(LOOKS.get() + 1);
            self.0
        }
    }

    #[test]
    fn built_in_the_order_of_hashes_it_takes_no_longer_than_in_any_other() {
        // A copy is built in this order: all elements crowd at the low end at first.
        const COUNT: u32 = 50_000;
        let mut table = Ordered::default();
        for n in 0..COUNT {
            let hash = n * (u32::MAX / COUNT);
            assert!(table.get(hash, |_| true).is_none());
            table.insert(Counted(hash));
        }
        let looks = LOOKS.get() / COUNT as usize;
        assert!(looks < 100, "{looks} for each");
    }

    #[test]
    fn a_table_is_never_much_larger_than_its_elements() {
        let mut table = Ordered::default();
        for n in 0..100_000_u32 {
            table.insert(Element(n.wrapping_mul(0x9E37_79B1), 0));
        }
        assert!(table.slots() < 100_000 * 160 / 100, "{}", table.slots());
        for n in 0..99_000_u32 {
            table.remove(n.wrapping_mul(0x9E37_79B1), |_| true).unwrap();
        }
        assert!(table.slots() < 8_000, "{}", table.slots());
    }
}
