//! The conformance suite of `hub::Engine`: what every engine does, whatever it stores to.
//!
//! [`engine_suite!`](crate::engine_suite!) makes one test of each case. A case gets a [`Bench`] with a fresh engine
//! behind a door that writes down what comes through it.

mod bench;
pub mod history;
pub mod keys;
pub mod order;
pub mod records;
pub mod resume;
pub mod retention;

pub use self::bench::{Bench, Event, KEEP, LIVE, MEMORY, START, STORED, author, refused, wait};

/// A module of tests, one for each case: `engine_suite!(memory, || Bench::new(...));`.
#[macro_export]
macro_rules! engine_suite {
    ($name:ident, $bench:expr) => {
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            $crate::engine_suite!(@cases $bench,
                order: offsets_count_up_and_delivery_comes_before_the_answer
                order: publishers_at_once_are_put_into_one_order
                order: what_was_published_comes_back_as_it_was
                order: whom_a_message_is_for_comes_back_with_it
                order: a_clock_that_is_set_back_does_not_turn_time_around
                order: a_room_without_a_log_gives_no_place
                order: an_ephemeral_message_has_no_offset_and_is_not_kept
                order: rings_and_stored_rooms_share_one_count
                order: the_frontier_is_at_what_was_delivered_and_below_what_comes
                order: nothing_is_read_before_it_is_delivered
                order: a_stopped_engine_refuses
                history: pages_go_both_ways_without_gap_or_overlap
                history: a_page_is_bounded_by_bytes_but_never_empty
                history: rooms_are_listed_in_the_order_of_their_names
                resume: a_gap_is_given_whole_in_pages
                resume: a_position_that_cannot_be_continued_says_why
                resume: the_first_message_keeps_the_epoch_that_the_empty_room_had
                resume: the_last_messages_are_given_without_a_position
                keys: a_repeat_gives_the_first_position_and_is_not_spread
                keys: repeats_at_once_are_one_message
                keys: a_key_belongs_to_its_author_and_room
                keys: a_key_for_another_message_is_refused
                keys: a_key_is_known_for_ten_minutes_and_then_refused_by_its_own_time
                records: a_record_is_kept_replaced_and_deleted
                records: a_write_happens_only_as_expected
                records: a_record_expires
                records: records_are_listed_in_the_order_of_their_keys
                records: what_is_too_large_is_refused
                records: writers_at_once_take_turns
                retention: a_room_keeps_so_many_messages
                retention: a_room_keeps_so_many_bytes
                retention: a_room_keeps_messages_so_long_and_offsets_go_on
            );
        }
    };
    (@cases $bench:expr, $($area:ident: $case:ident)*) => {
        $(
            #[test]
            fn $case() {
                $crate::engine_suite::$area::$case(&$bench());
            }
        )*
    };
}
