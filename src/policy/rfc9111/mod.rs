//! The rules of HTTP caching: RFC 9111 and what extends it, as pure functions of settings, heads and times.
//!
//! No clock, no I/O, and nothing that a hostile field could make panic, run long or grow. Where the RFC leaves a choice,
//! the reading that keeps less, fresh for less long, is taken, save where a comment says otherwise and why. `properties`
//! holds all of it to that.
//!
//! | clause | rule | where | tests |
//! |---|---|---|---|
//! | RFC 9111 §1.2.2, §5.2 | syntax of `Cache-Control`, delta-seconds | [`syntax`] | its own |
//! | §5.2.2, §4.2.1 | response directives, conflicts, what is not valid | [`directives::response_directives`] | `a_lifetime_is_a_number_or_over`, `malformed_directives_are_treated_as_restrictive` |
//! | §5.2.1, §5.4 | request directives, `Pragma` | [`demands::demands`] | `a_request_asks_for_what_it_says_and_no_less`, `pragma_counts_alone` |
//! | RFC 9213 §2 | targeted fields | [`targeted::effective_directives`] | `a_valid_field_replaces_cache_control`, `an_invalid_field_is_ignored` |
//! | RFC 9110 §5.6.7, RFC 9111 §4.2, §5.3 | dates | [`dates::date`] | `all_three_forms_and_any_case_are_dates`, `everything_else_is_none` |
//! | §4.2.3, §5.1 | age | [`age::initial_age`], [`age::current_age`] | `the_first_member_counts_where_it_is_a_number`, `the_greater_of_two_ages_counts` |
//! | §4.2.1, §4.2.2, RFC 9110 §15.1 | freshness lifetime | [`freshness::lifetime`] | `the_most_specific_lifetime_counts`, `expires_is_counted_from_date`, `a_tenth_of_the_time_unchanged_is_the_guess_for_some_statuses` |
//! | §3, §5.2.1.5, §5.2.2.3–5.2.2.7 | what may be kept | [`storable::judge`] | `any_final_status_is_kept_where_the_origin_says_for_how_long`, `no_store_forbids_unless_the_status_is_understood`, `private_is_for_private_caches`, `what_must_be_confirmed_is_kept_where_it_can_be` |
//! | §3.1 | fields that are not stored | [`withheld`] | `named_fields_that_are_there_are_not_stored` |
//! | §4 | what another layer has stored | [`fits::may_answer`] | `what_another_layer_has_kept_is_judged_again` |
//! | §3.5 | answers to credentials | [`storable::judge`] | `answers_to_credentials_are_shared_only_where_the_origin_allows_it` |
//! | §7.3 | cookies in a shared cache | [`storable::judge`] | `a_shared_cache_stores_cookies_only_where_a_setting_says_so` |
//! | §4.2.4, §5.2.2.2, §5.2.2.8, §5.2.2.10, RFC 5861 | stale use | [`stale::stale_rules`] | `what_forbids_it_forbids_it_in_any_spelling` |
//! | §5.2.1.1–5.2.1.4, RFC 8246 §2 | what a request demands | [`fits::fits`] | `each_demand_is_met_to_the_second`, `what_is_immutable_is_not_asked_for_again_while_it_is_fresh` |
//! | §4.1 | selecting fields | `key::selection` | `what_is_opaque_stays_apart`, `languages_are_ordered_by_weight` |
//! | §4.3.4 | what a 304 renews | `policy::validation` | `a_304_confirms_what_it_names`; in `tests/cache`: `a_304_freshens_only_the_variant_that_was_asked_about` |
//! | §3.4, RFC 9110 §15.3.7.3 | parts that become one, or the whole | `policy::joining` | `what_may_be_of_two_responses_is_not_joined`, `the_union_has_each_byte_at_its_place` |
//! | §4.3.5 | what a `HEAD` says | [`head_update::head_says`] | `what_agrees_is_the_same_and_anything_else_is_not` |
//! | §4.4 | what else an unsafe request makes stale | [`invalidate::named_urls`] | `another_origin_is_ignored` |
//! | RFC 9875 | groups | [`cache_groups`] | `a_group_is_a_tag_of_its_origin` |
//! | draft-ietf-httpbis-no-vary-search | queries that do not matter | [`no_vary_search`] | `what_does_not_matter_makes_queries_equal`, `spelling_does_not_matter_where_something_does_not` |

mod age;
mod cache_groups;
mod dates;
mod demands;
mod directives;
mod fits;
mod freshness;
mod head_update;
mod invalidate;
mod no_vary_search;
mod origin;
#[cfg(test)]
mod properties;
mod stale;
mod storable;
mod structured;
mod syntax;
mod targeted;
mod withheld;

pub(crate) use self::{
    age::current_age,
    cache_groups::{GROUP_TAG_PREFIX, group_tags, invalidated_group_tags},
    demands::{Demands, demands},
    fits::{Fit, fits, may_answer},
    head_update::{HeadSays, head_says},
    invalidate::{named_urls, speaks_for_get},
    no_vary_search::{NO_VARY_SEARCH, UrlVariation, url_variation},
    stale::{StaleRules, stale_rules},
    storable::{Judged, Settings, allows_authorization, has_authorization, judge},
};
