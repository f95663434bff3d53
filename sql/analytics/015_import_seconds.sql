-- A measured time is exact to the millisecond, as all numbers here are exact.
alter table analytics.imports alter column seconds type numeric(12, 3);
