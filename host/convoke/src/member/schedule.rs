//! Fair scheduling of the driver's work: datagrams, inputs and timers all make progress, regardless
//! of the number of each that is waiting.
//!
//! Input from the network precedes timers: after a pause, a reply that has already arrived must not
//! be treated as missing. So a due timer waits while there is more input, but not forever, since
//! any peer can keep a socket full.

/// Maximum number of datagrams handled in one turn.
pub(super) const DATAGRAMS_PER_TURN_MAX: usize = 64;
/// Maximum number of inputs handled in one turn.
pub(super) const INPUTS_PER_TURN_MAX: usize = 64;
/// Datagrams and inputs handled while a timer is due, before it fires anyway. More than the receive
/// buffer of a socket holds, so that everything that arrived during a pause is handled first.
pub(super) const BEFORE_TIMERS_MAX: usize = 16_384;

/// The work to schedule.
pub(super) trait Work {
    /// Handles one datagram; false if none is waiting.
    fn take_datagram(&mut self) -> bool;
    /// Handles one input; false if none is waiting.
    fn take_input(&mut self) -> bool;
    /// Whether a timer is due.
    fn is_timer_due(&self) -> bool;
    /// Fires the timers that are due.
    fn fire_timers(&mut self);
}

/// Schedules the work.
#[derive(Default)]
pub(super) struct Turns {
    /// Number of datagrams and inputs handled since a timer became due.
    taken: usize,
}

impl Turns {
    /// Runs one turn. Returns whether more may be waiting.
    pub(super) fn turn(&mut self, work: &mut impl Work) -> bool {
        let datagrams = (0..DATAGRAMS_PER_TURN_MAX).take_while(|_| work.take_datagram()).count();
        let inputs = (0..INPUTS_PER_TURN_MAX).take_while(|_| work.take_input()).count();
        let more = datagrams == DATAGRAMS_PER_TURN_MAX || inputs == INPUTS_PER_TURN_MAX;
        if !work.is_timer_due() {
            self.taken = 0;
            return more;
        }
        self.taken += datagrams + inputs;
        if !more || self.taken >= BEFORE_TIMERS_MAX {
            work.fire_timers();
            self.taken = 0;
        }
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The actions so far, in order.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Done {
        Datagram,
        Input,
        Timers,
    }

    /// Work with a number of waiting items, and optionally a due timer.
    struct Waiting {
        datagrams: usize,
        inputs: usize,
        is_due: bool,
        done: Vec<Done>,
    }

    impl Work for Waiting {
        fn take_datagram(&mut self) -> bool {
            self.datagrams
                .checked_sub(1)
                .map(|left| {
                    self.datagrams = left;
                    self.done.push(Done::Datagram);
                })
                .is_some()
        }

        fn take_input(&mut self) -> bool {
            self.inputs
                .checked_sub(1)
                .map(|left| {
                    self.inputs = left;
                    self.done.push(Done::Input);
                })
                .is_some()
        }

        fn is_timer_due(&self) -> bool {
            self.is_due
        }

        fn fire_timers(&mut self) {
            self.is_due = false;
            self.done.push(Done::Timers);
        }
    }

    fn waiting(datagrams: usize, inputs: usize, is_due: bool) -> Waiting {
        Waiting { datagrams, inputs, is_due, done: Vec::new() }
    }

    #[test]
    fn an_input_waits_for_the_datagrams_of_one_turn_at_most() {
        let mut flood = waiting(usize::MAX, 1, false);
        Turns::default().turn(&mut flood);
        let before = flood.done.iter().position(|done| *done == Done::Input);
        assert_eq!(before, Some(DATAGRAMS_PER_TURN_MAX));
    }

    #[test]
    fn a_timer_fires_even_if_the_socket_is_never_empty() {
        let mut flood = waiting(usize::MAX, 0, true);
        let mut turns = Turns::default();
        while flood.is_due {
            assert!(turns.turn(&mut flood), "there is more");
        }
        let before = flood.done.iter().position(|done| *done == Done::Timers);
        assert_eq!(before, Some(BEFORE_TIMERS_MAX));
        // The next timer waits equally long.
        flood.is_due = true;
        flood.done.clear();
        while flood.is_due {
            turns.turn(&mut flood);
        }
        assert_eq!(flood.done.len(), BEFORE_TIMERS_MAX + 1);
    }

    #[test]
    fn after_a_pause_all_input_is_handled_before_a_timer_fires() {
        for (datagrams, inputs) in [(5_000, 500), (5_000, 0), (0, 500), (64, 0), (0, 64), (1, 1)] {
            let mut paused = waiting(datagrams, inputs, true);
            let mut turns = Turns::default();
            while turns.turn(&mut paused) {}
            assert_eq!(paused.done.len(), datagrams + inputs + 1);
            assert_eq!(paused.done.last(), Some(&Done::Timers));
        }
    }

    #[test]
    fn a_timer_with_nothing_else_to_do_fires_at_once() {
        let mut idle = waiting(0, 0, true);
        assert!(!Turns::default().turn(&mut idle), "there is no more");
        assert_eq!(idle.done, [Done::Timers]);
    }
}
