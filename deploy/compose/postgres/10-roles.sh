#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Run once by the image of PostgreSQL, on an empty data folder: the two roles and the database. Passwords come from the
# environment and reach psql as variables, never as arguments.
set -eu

psql --no-psqlrc --set ON_ERROR_STOP=1 --username postgres <<'SQL'
\getenv writer WRITER_PASSWORD
\getenv reader READER_PASSWORD
create role tapedeck_writer login password :'writer';
create role tapedeck_reader login password :'reader';
create database tapedeck owner tapedeck_writer;
SQL
