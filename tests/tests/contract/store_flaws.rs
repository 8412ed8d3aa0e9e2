//! What a broken store can forget, and which checks of the contract have to find it.

macro_rules! flaws {
    ($($flaw:ident found by $($check:ident),+;)+) => {
        /// What a broken store forgets.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Flaw { $($flaw),+ }

        /// The checks that have to notice each flaw.
        pub const FOUND_BY: &[(Flaw, &[&str])] = &[$((Flaw::$flaw, &[$(stringify!($check)),+])),+];
    };
}

flaws! {
    SlugIsNotUnique found by a_slug_is_taken_once, of_racing_projects_one_has_the_slug;
    PutAddsOnly found by a_put_replaces_the_key_of_the_same_hash;
    UseBringsKeysBack found by a_use_of_a_deleted_key_brings_nothing_back;
    InsertOverwrites found by a_session_is_inserted_once, a_token_is_inserted_once;
    UpdateForgetsVersion found by an_update_of_another_version_is_refused;
    UpdateLooksFirst found by of_racing_updates_of_a_client_one_wins;
    DeleteFreesClientKey found by a_client_key_stays_taken_for_ever;
    ListForgetsGlobals found by a_global_client_is_listed_for_every_project, pages_of_clients_bring_each_once;
    ListForgetsProject found by a_client_is_listed_for_its_project_only;
    PagesLoseTheirLast found by credentials_of_a_project_are_listed_by_id;
    PagesNeverEnd found by credentials_of_a_project_are_listed_by_id;
    StartForgetsSessionExpiry found by no_flow_starts_in_a_session_that_is_over;
    StartForgetsOtherStarts found by no_flow_starts_when_another_came_first;
    StartLooksFirst found by of_racing_starts_one_wins, of_racing_newer_starts_one_wins;
    StartLeavesEarlierFlow found by a_newer_start_voids_the_earlier_flow;
    StartReplacesParkedFlow found by no_newer_start_once_the_earlier_flow_is_parked;
    ParkForgetsExpiry found by an_expired_flow_is_not_parked_and_stays_as_it_is;
    ParkLooksFirst found by of_racing_callbacks_one_parks;
    FailFromAnyState found by a_flow_fails_only_from_the_state_that_is_named;
    ClaimLooksFirst found by of_racing_exchanges_one_is_claimed;
    ClaimForgetsExpiry found by no_exchange_is_claimed_after_the_completion_code_expired;
    ReleaseAlwaysWins found by of_racing_releases_one_wins, only_an_exchange_is_released;
    CompleteForgetsFlow found by only_the_flow_that_is_exchanged_is_completed, of_racing_completions_one_is_done;
    CompleteForgetsName found by a_taken_name_leaves_the_flow_in_exchange, of_racing_flows_one_gets_the_name;
    FindForgetsProject found by a_credential_is_not_found_under_another_project, no_lease_under_another_project;
    UpdateDropsLease found by an_update_leaves_the_refresh_record_alone;
    UpdateForgetsOldName found by an_update_of_a_renamed_credential_is_refused;
    RenameLooksFirst found by of_racing_renames_one_wins;
    AcquireLooksFirst found by of_racing_workers_one_takes_the_lease;
    AcquireForgetsLease found by no_lease_while_another_lives;
    AcquireForgetsIntent found by no_lease_over_an_attempt_that_is_left;
    AcquireForgetsGeneration found by no_lease_on_another_generation;
    RefusalHasNoImage found by no_lease_while_another_lives, of_racing_workers_one_takes_the_lease;
    CommitForgetsFence found by no_commit_under_an_older_fence;
    CommitForgetsAttempt found by no_commit_of_another_attempt;
    CommitForgetsGeneration found by no_commit_on_another_generation;
    CommitRefusesRepetition found by a_repeated_commit_is_applied_once;
    CommitForgetsDueTime found by a_commit_moves_the_due_time;
    ReleaseForgetsFence found by no_release_under_an_older_fence;
    ReleaseDropsIntent found by a_release_can_keep_the_intent, a_kept_intent_is_taken_over_at_once;
    DueForgetsTime found by only_what_is_due_is_listed;
    DueForgetsLimit found by no_more_than_the_limit_is_listed;
    DueIsReversed found by the_longest_overdue_comes_first;
    AlwaysBegins found by a_repetition_meets_the_call_under_way, of_racing_calls_one_begins;
    ForgetsBody found by another_body_is_recognised;
    NeverForgetsCalls found by a_forgotten_call_begins_anew, a_call_that_never_ended_begins_anew_after_a_minute;
}
