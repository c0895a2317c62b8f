/** `backup.info` as barman-cloud-backup 3.19.1 wrote it for PostgreSQL 18.6. */
export const BACKUP_INFO = String.raw`backup_label='START WAL LOCATION: 0/3000028 (file 000000010000000000000003)\nCHECKPOINT LOCATION: 0/3000080\nBACKUP METHOD: streamed\nBACKUP FROM: primary\nSTART TIME: 2026-11-21 17:13:38 UTC\nLABEL: Barman backup cloud 20261121T171338\nSTART TIMELINE: 1\n'
begin_offset=40
begin_time=2026-11-21 17:13:38.471244+00:00
begin_wal=000000010000000000000003
begin_xlog=0/3000028
children_backup_ids=None
cluster_size=24632417
compression=None
config_file=/srv/pg/data/postgresql.conf
copy_stats={'total_time': 6.846666, 'number_of_workers': 2, 'analysis_time': 0, 'copy_time_per_item': {'data': 0.41296}}
data_checksums=on
deduplicated_size=None
encryption=None
end_offset=288
end_time=2026-11-21 17:13:42.740093+00:00
end_wal=000000010000000000000003
end_xlog=0/3000120
error=None
hba_file=/srv/pg/data/pg_hba.conf
ident_file=/srv/pg/data/pg_ident.conf
included_files=None
mode=None
parent_backup_id=None
pgdata=/srv/pg/data
server_name=cloud
size=None
status=DONE
summarize_wal=off
systemid=7710674020926131365
tablespaces=None
timeline=1
version=180006
xlog_segment_size=16777216
`;
