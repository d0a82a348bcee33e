-- What each operation changed under a synchronization session, so that the counters of a session
-- are exact even when its agent did not live to report them.

alter table operations add column session_id text;
alter table operations add column session_tally text;
create index operations_session on operations (session_id, session_tally)
    where session_id is not null;
