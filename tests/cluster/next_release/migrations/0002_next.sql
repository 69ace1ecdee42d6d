-- What a release is allowed to do: new columns on tables that are in use, a new table, a new index.
alter table polling_jobs add column note text;
alter table price_points add column volume numeric;
create table notes (
  job_id uuid primary key,
  note   text not null
);
create index polling_jobs_by_note on polling_jobs (note) where note is not null;
update schema_state set revision = 2;
