-- SPDX-License-Identifier: Apache-2.0
--
-- Distributes the store over the workers of a Citus cluster. After `tapedeck migrate`, on the coordinator, as a superuser, in
-- the database of Tapedeck, before there are many rows:
--
--     create extension citus; select citus_add_node('worker-1', 5432); …
--     \i sql/distributed/citus.sql
--
-- The reasons, table by table:
--
-- By symbol, and in one colocation group, so that the rows of one symbol lie on one worker whatever the table: what a
-- transaction of the sink writes for a symbol is local there, and so are joins of trades with bars by symbol. All keys lead
-- with it: Citus asks that every unique key contain the distribution column. Queries that name a symbol go to one worker;
-- those over all symbols run on all of them at once. Not by time: the day that is being written would be one worker's.
--
-- Everywhere (reference tables): what is small, is joined with everything, and has keys without a symbol. Each write goes to
-- every worker, so nothing that grows with the tape is among them.
--
-- On the coordinator alone: all of ops that the pipeline needs to be exact. Offsets are moved by the transaction that
-- writes the data; Citus commits both by two-phase commit, so that the position and the rows still move together.
--
-- What was checked and how: Tests/EndToEnd/test_distributed.py runs this file against the real schema with functions in
-- Citus' place that hold its rules for keys and foreign keys. It was never run on Citus, which is in no package that the
-- tests may use; try it with a copy of your data, and compare with `tapedeck jobs run validation-report`.

begin;

-- The tape and what is made of it.
select create_distributed_table('market.trades', 'symbol', shard_count => 32);
select create_distributed_table('ops.bar_state', 'symbol', colocate_with => 'market.trades');
select create_distributed_table('market.latest', 'symbol', colocate_with => 'market.trades');
select create_distributed_table('market.quotes', 'symbol', colocate_with => 'market.trades');
select create_distributed_table('market.source_bars', 'symbol', colocate_with => 'market.trades');
select create_distributed_table('market.instrument_history', 'symbol', colocate_with => 'market.trades');
select create_distributed_table('market.sentiment_bars', 'symbol', colocate_with => 'market.trades');
select create_distributed_table('ops.alerts', 'symbol', colocate_with => 'market.trades');

-- Small, and asked together with everything. A mention belongs to its post by a foreign key, so both are of one kind.
select create_reference_table('market.instruments');
select create_reference_table('market.posts');
select create_reference_table('market.mentions');
select create_reference_table('market.forecasts');
select create_reference_table('market.forecast_steps');
select create_reference_table('market.forecast_outcomes');
select create_reference_table('market.forecast_paths');

commit;
