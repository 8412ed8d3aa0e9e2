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
    UseForgetsMoves found by a_use_of_a_secret_that_moved_is_noted;
    UseIsANewVersion found by a_use_of_a_secret_is_noted_and_the_version_stays;
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
    UpdateForgetsOldValues found by values_that_changed_meanwhile_are_not_overwritten;
    UpdateForgetsGeneration found by what_belongs_to_a_grant_is_not_changed_once_there_is_a_new_one;
    ReplaceKeepsChoices found by a_new_grant_has_nothing_left_to_choose;
    RenameLooksFirst found by of_racing_renames_one_wins;
    UpdateBringsNamesBack found by what_has_ended_is_not_changed;
    InsertForgetsName found by a_name_is_inserted_once, of_racing_insertions_one_has_the_name;
    InsertRefusesRepetition found by a_repeated_insertion_is_one_credential;
    InsertIsNeverDue found by an_inserted_credential_is_due_as_its_status_says, a_grant_that_waits_for_its_end_is_due_at_once;
    DetachedIsListed found by a_detached_credential_is_in_no_list_and_takes_no_name;
    UpdateForgetsProjects found by a_credential_is_found_and_listed_where_it_is_shared;
    ShareForgetsOthers found by a_change_of_another_list_of_projects_is_refused;
    ShareLooksFirst found by of_racing_shares_one_wins;
    FindsWhatIsNotShared found by a_credential_is_found_and_listed_where_it_is_shared;
    ListForgetsShared found by a_credential_is_found_and_listed_where_it_is_shared, own_and_shared_credentials_are_listed_by_id;
    ReplaceForgetsFlow found by only_the_flow_that_is_exchanged_brings_a_replacement, a_replacement_completes_the_flow_that_brought_it;
    ReplaceForgetsGeneration found by no_replacement_on_another_generation;
    ReplaceForgetsOwner found by no_replacement_for_another_owner;
    ReplaceLiftsSuspension found by no_replacement_of_what_was_suspended_or_ended;
    ReplaceLooksFirst found by of_racing_replacements_one_is_done;
    ReplaceKeepsFence found by a_refresh_under_way_is_not_committed_after_a_replacement;
    ReplaceRefusesRepetition found by a_repeated_replacement_is_done_once;
    ReplaceForgetsDueTime found by a_replacement_moves_the_due_time;
    ReplaceRestoresName found by a_replacement_keeps_what_people_changed;
    ChangeForgetsStatus found by no_change_from_another_status;
    ChangeForgetsOwner found by no_change_of_status_for_another_owner;
    ChangeLooksFirst found by of_racing_changes_of_status_one_wins;
    ChangeDropsLease found by a_status_changes_whoever_refreshes, a_refresh_goes_on_when_the_suspension_is_lifted;
    ChangeForgetsDueTime found by a_suspended_credential_is_not_due_until_that_is_lifted, a_credential_that_is_being_revoked_is_due_until_it_is;
    ChangeRefusesRepetition found by a_repeated_change_of_status_is_applied;
    EndKeepsName found by a_freed_name_can_be_taken;
    EndFreesAnyName found by a_name_is_freed_by_its_own_credential_only;
    EndMindsRename found by a_status_changes_whatever_the_name_is_by_now;
    CommitRevivesWhatEnded found by no_refresh_goes_on_after_a_suspension_or_an_end;
    CommitForgetsStatus found by a_commit_can_suspend;
    AttemptsHaveOnePlace found by an_attempt_takes_the_place_of_the_oldest;
    AttemptsAreReversed found by attempts_are_listed_as_they_were_kept_the_newest_first;
    AttemptsForgetTheirCredential found by attempts_of_others_are_not_listed;
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
