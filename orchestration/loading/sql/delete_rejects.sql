delete from platform.load_rejects
where load_id = %(load_id)s;
