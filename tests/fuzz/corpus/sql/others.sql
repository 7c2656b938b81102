SELECT * FROM other.t UNION ALL SELECT * FROM `p.d.t_*` -- comment
/* more */