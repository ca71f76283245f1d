#!/bin/sh
# Run once by the database's image, when its volume is new: Grafana's own user, who may only read.
set -eu
psql --set=ON_ERROR_STOP=1 --set=password="$GRAFANA_DB_PASSWORD" \
    --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
create role grafana login password :'password' connection limit 8;
grant pg_read_all_data to grafana;
alter role grafana set default_transaction_read_only = on;
alter role grafana set statement_timeout = '30s';
SQL
