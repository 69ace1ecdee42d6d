-- The schema of release 0.1. Names of tables and of their first columns are the seed's.

create table schema_state (
  only_row       boolean primary key default true check (only_row),
  revision       integer not null,
  min_compatible integer not null
);
insert into schema_state (revision, min_compatible) values (1, 1);

-- The wish. origin 'api' rows are changed over REST, 'kubernetes' rows by their PollingJob only.
create table polling_jobs (
  job_id            uuid primary key,
  origin            text not null check (origin in ('api', 'kubernetes')),
  release           text,
  k8s_uid           text,
  k8s_namespace     text,
  k8s_name          text,
  k8s_generation    bigint,
  k8s_poll_now      text,    -- the poll-now annotation's last value that was acted on
  symbols           text[] not null check (cardinality(symbols) between 1 and 500),
  provider          text not null,
  interval_seconds  integer not null check (interval_seconds between 1 and 86400),
  suspended         boolean not null default false,
  slo_max_age_seconds integer,
  slo_target        text,
  failure_threshold integer not null default 3,
  created_at        timestamptz not null default now(),
  updated_at        timestamptz not null default now(),
  check ((origin = 'kubernetes') = (release is not null and k8s_uid is not null))
);
create unique index polling_jobs_by_object on polling_jobs (release, k8s_uid) where origin = 'kubernetes';
create index polling_jobs_by_age on polling_jobs (created_at, job_id);
create index polling_jobs_by_symbol on polling_jobs using gin (symbols);
create index polling_jobs_by_interval on polling_jobs (provider, interval_seconds) where not suspended;

-- Narrow and hot: one row per job that is not suspended. due_at is the earlier of the next tick on
-- the grid and an extra tick (the first one, or poll-now).
create table polling_schedule (
  job_id      uuid primary key references polling_jobs on delete cascade,
  provider    text not null,
  awake_since timestamptz not null default now(),  -- made, or last resumed
  due_at      timestamptz not null,
  lease_owner text,
  lease_token uuid,
  lease_until timestamptz
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
create index polling_schedule_due on polling_schedule (provider, due_at);

-- Shared by all pollers: which providers some poller has installed, and the request budget of each.
-- A budget starts with one token, so that a rollout of many pollers is no burst.
create table providers (
  provider    text primary key,
  tokens      double precision not null default 1,
  refilled_at timestamptz not null default now(),
  requests    bigint not null default 0,
  seen_at     timestamptz not null default now()
);
create table provider_breakers (
  provider   text not null,
  endpoint   text not null,
  failures   integer not null default 0,
  open_until timestamptz,
  cooldown_seconds double precision not null default 0,
  probe_owner text,
  probe_until timestamptz,
  primary key (provider, endpoint)
);

-- The last answer about a series, fresh or not: tells fresh from unchanged, and lets an answer
-- asked for since a job's due time complete that job without another request. asked_at is when the
-- request began, on this database's clock.
create table symbol_states (
  provider        text not null,
  symbol          text not null,
  asked_at        timestamptz not null,
  fetched_at      timestamptz,
  raw_response_id uuid,
  outcome         text not null,       -- fresh, unchanged, or the reason of a failure
  message         text,
  observed_at     timestamptz,
  price           numeric,
  consecutive_failures integer not null default 0,
  last_success_at timestamptz,
  primary key (provider, symbol)
) with (fillfactor = 70);

-- One row per recorded tick: the primary key is the proof that no tick is recorded twice.
create table polls (
  job_id      uuid not null,
  tick_at     timestamptz not null,
  recorded_at timestamptz not null default now(),
  poller      text not null,
  asked       integer not null,
  fresh       integer not null,
  unchanged   integer not null,
  failed      integer not null,
  skipped     integer not null,
  reasons     jsonb not null default '{}',
  primary key (job_id, tick_at)
) partition by range (tick_at);

-- The ledger of polls: asked = fresh + unchanged + failed + skipped, per job and hour of the tick.
create table poll_ledger (
  job_id    uuid not null,
  hour      timestamptz not null,
  polls     bigint not null default 0,
  asked     bigint not null default 0,
  fresh     bigint not null default 0,
  unchanged bigint not null default 0,
  failed    jsonb not null default '{}',  -- reason -> count
  skipped   jsonb not null default '{}',  -- reason -> count
  primary key (job_id, hour)
) with (fillfactor = 70);
create index poll_ledger_by_hour on poll_ledger (hour);

-- How the promises about age are kept, per job and hour: seconds summed over the job's symbols.
-- counted is the time that a promise covers, kept the part of it in which it was kept; days (of UTC)
-- are the same sums again, so that 30 of them are read and not 720 hours. The clock is
-- how far all promises have been judged; the row that serializes its writers.
create table promise_ledger (
  job_id  uuid not null,
  hour    timestamptz not null,
  counted double precision not null,
  kept    double precision not null,
  primary key (job_id, hour)
) with (fillfactor = 70);
create index promise_ledger_by_hour on promise_ledger (hour);
create table promise_days (
  job_id  uuid not null,
  day     timestamptz not null,
  counted double precision not null,
  kept    double precision not null,
  primary key (job_id, day)
) with (fillfactor = 70);
create index promise_days_by_day on promise_days (day);
create table promise_clock (
  only_row     boolean primary key default true check (only_row),
  judged_until timestamptz not null default now()
);
insert into promise_clock default values;

-- How a job fared, as its status tells it; kept apart from the wish and from the hot table.
create table job_states (
  job_id               uuid primary key references polling_jobs on delete cascade,
  last_poll_at         timestamptz,
  last_success_at      timestamptz,
  consecutive_failures integer not null default 0,
  last_reason          text,
  failing              jsonb not null default '{}'  -- symbol -> {reason, message, since}; at most 20
) with (fillfactor = 70);

-- Provider answers exactly as received. Partitioned by day on the UUIDv7; nothing references it.
create table raw_market_data (
  id         uuid primary key,
  provider   text not null,
  url        text not null,
  status     integer not null,
  headers    jsonb not null,
  body       bytea not null,
  symbols    text[] not null,
  fetched_at timestamptz not null,
  fenced     boolean not null default false
) partition by range (id);

-- Events committed with their raw answer. event_id is a UUIDv7 of the same instant.
create table outbox (
  event_id        uuid primary key,
  raw_response_id uuid not null,
  provider        text not null,
  symbol          text not null,
  observed_at     timestamptz not null,
  fetched_at      timestamptz not null,
  outcome         text not null check (outcome in ('fresh', 'unchanged')),
  payload         bytea not null,
  traceparent     text,
  created_at      timestamptz not null default now(),
  published_at    timestamptz,
  publications    integer not null default 0,
  account         text,
  "partition"     integer,
  "offset"        bigint,
  settled_at      timestamptz,
  settlement      text check (settlement in ('stored', 'superseded', 'dead'))
) partition by range (event_id);
create index outbox_unpublished on outbox (event_id) where published_at is null and settled_at is null;
create index outbox_open on outbox (event_id) where settled_at is null;

-- The ledger of events: created = open + stored + superseded + dead, per provider and the day
-- of the event id (UTC), open being counted from the outbox itself.
create table event_ledger (
  provider    text not null,
  day         date not null,
  created     bigint not null default 0,
  stored      bigint not null default 0,
  superseded  bigint not null default 0,
  dead        bigint not null default 0,
  republished bigint not null default 0,  -- beside the equation
  primary key (provider, day)
) with (fillfactor = 50);

create table price_points (
  provider        text collate "C" not null,
  symbol          text collate "C" not null,
  observed_at     timestamptz not null,
  price           numeric not null,
  currency        text,
  raw_response_id uuid not null,
  fetched_at      timestamptz not null,
  stored_at       timestamptz not null default now(),
  primary key (provider, symbol, observed_at)
);

create table symbol_averages (
  provider       text collate "C" not null,
  symbol         text collate "C" not null,
  observed_at    timestamptz not null,
  "window"       integer not null,
  moving_average numeric not null,
  sample_size    integer not null,
  primary key (provider, symbol, observed_at, "window")
);

-- The newest point of a series; the row that serializes its writers. recent_* are its last points,
-- newest last, at most WINDOW of them, the newest included: enough to append without reading back.
create table latest_prices (
  provider         text collate "C" not null,
  symbol           text collate "C" not null,
  observed_at      timestamptz,
  price            numeric,
  currency         text,
  fetched_at       timestamptz,
  raw_response_id  uuid,
  market_state     text,
  delayed_by       integer,
  interval_seconds integer,
  -- Literals of numeric[] and timestamptz[]: written in every batch, which costs half as text, and read rarely.
  recent_prices    text not null default '{}',
  recent_times     text not null default '{}',
  stored_at        timestamptz not null default now(),
  primary key (provider, symbol)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
create index latest_prices_by_symbol on latest_prices (symbol);

-- Positions. An account is one log: cluster id + topic id (cluster id alone where the broker tells
-- no topic id). opened_at is when this partition's position was last (re)opened at the log's start:
-- what was published there before it and never settled is lost.
create table consumer_accounts (
  account   text primary key,
  topic     text not null,
  opened_at timestamptz not null default now(),
  closed_at timestamptz
);
create table consumer_offsets (
  account     text not null references consumer_accounts,
  "partition" integer not null,
  next_offset bigint not null,
  opened_at   timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  consumed    bigint not null default 0,   -- messages passed, good or bad
  stored      bigint not null default 0,   -- of them: became or replaced a point
  redelivered bigint not null default 0,   -- of them: were known already, or outranked
  dead        bigint not null default 0,   -- of them: dead letters
  primary key (account, "partition")
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
create table consumer_gaps (
  id          bigint generated always as identity primary key,
  account     text not null,
  "partition" integer not null,
  position    bigint not null,
  log_start   bigint not null,
  log_end     bigint not null,
  reason      text not null,
  found_at    timestamptz not null default now()
);

create table dead_letters (
  id           uuid primary key,
  event_id     uuid,
  account      text not null,
  topic        text not null,
  "partition"  integer not null,
  "offset"     bigint not null,
  key          bytea,
  value        bytea,
  headers      jsonb not null,
  digest       bytea not null,
  reason       text not null,
  detail       text not null,
  created_at   timestamptz not null default now(),
  forwarded_at timestamptz,
  replay_requested_at timestamptz,
  replayed_at  timestamptz,
  unique (account, "partition", "offset", digest)
);
create index dead_letters_unforwarded on dead_letters (id) where forwarded_at is null;
create index dead_letters_requested on dead_letters (id) where replay_requested_at is not null and replayed_at is null;
create index dead_letters_by_event on dead_letters (event_id) where event_id is not null;

-- Requests to POST /prices/poll under an Idempotency-Key, kept 24 h.
create table idempotency_keys (
  key         text primary key,
  body_digest bytea not null,
  job_id      uuid not null,
  response    jsonb not null,
  created_at  timestamptz not null default now()
);
create index idempotency_keys_by_age on idempotency_keys (created_at);

-- What has been dropped, so that a missing answer can be told to be gone rather than unknown.
create table retention (
  relation       text primary key,
  dropped_before timestamptz not null
);
