{#
  What a group of persons must be like to leave a cell, and what becomes of a group that is not: the rules of statistical
  disclosure control by their names (Hundepool et al., Handbook on Statistical Disclosure Control).

    threshold rule   a group has at least k persons and a few merchants
    p% rule          whoever knows all of one contribution, the second largest at best, must be unable to estimate the
                     largest to within p percent: all the others together are at least p percent of it
    no complement    what a group and a wider one that are both published differ by is itself a group by these rules

  contributions is a relation or parenthesised query with a row per group, person (contributor) and merchant (tenant_id).
  rule has k, tenants, dominance_percent, rounding and significant_digits.

  This file uses nothing of dbt's, so that tests can render it with Jinja alone.
#}

{# The threshold rule: a condition for HAVING over a group's contributions. #}
{% macro k_anonymous(rule) -%}
count(distinct p.contributor) >= {{ rule.k }} and count(distinct p.tenant_id) >= {{ rule.tenants }}
{%- endmacro %}

{# The p% rule: a parenthesised query of the groups (keys) in which no single one of `by` can be estimated. #}
{% macro undominated(contributions, keys, by, amount, rule) -%}
(
        select {{ keys | join(', ') }}
        from (
            select
                {{ keys | join(', ') }},
                amount,
                row_number() over (partition by {{ keys | join(', ') }} order by amount desc) as place
            from (
                select {{ keys | join(', ') }}, {{ by }}, {{ amount }} as amount
                from {{ contributions }} as c
                group by {{ keys | join(', ') }}, {{ by }}
            ) as summed
        ) as ranked
        group by {{ keys | join(', ') }}
        having coalesce(sum(amount) filter (where place > 2), 0) * 100 >= {{ rule.dominance_percent }} * max(amount)
    )
{%- endmacro %}

{# A join of the same keys of two relations. #}
{% macro same_keys(one, other, keys) -%}
{%- for key in keys %}{{ one }}.{{ key }} = {{ other }}.{{ key }}{{ ' and ' if not loop.last }}{% endfor -%}
{%- endmacro %}

{# A count as it is published. k is a multiple of the base, so a count of at least k stays one, and so does a difference
   of two counts that are at least k apart. #}
{% macro rounded_count(count, rule) -%}
(round({{ count }} / {{ rule.rounding }}.0) * {{ rule.rounding }})::bigint
{%- endmacro %}

{# An amount as it is published. #}
{% macro rounded_amount(amount, rule) -%}
(case when {{ amount }} > 0
    then round({{ amount }}, {{ rule.significant_digits - 1 }} - floor(log({{ amount }}))::int) else 0 end)::numeric(16, 2)
{%- endmacro %}

{#
  A parenthesised query: closes_on, funnel, week, detail, first_step, last_step, persons. A person is in the group of the
  furthest step that they reached in the week, so the groups are disjoint, and a step's users are the sum of the groups
  from it on. Each week is shown at the finest detail at which all of its groups may be shown, and at one only: no group
  is what two details differ by, and a step that nobody stops at is not shown apart from the next.

  contributions  closes_on, funnel, week, furthest_step, contributor, tenant_id
  n_steps        number of the funnel's steps
#}
{% macro published_funnel(contributions, n_steps, rule) -%}
{%- set keys = ['closes_on', 'funnel', 'week', 'detail', 'first_step', 'last_step'] -%}
{%- set details = [] -%}
{%- for step in range(1, n_steps + 1) %}{% do details.append("('steps', " ~ step ~ ", " ~ step ~ ", " ~ n_steps ~ ")") %}{% endfor -%}
{%- if n_steps > 2 %}
{%- do details.append("('conversion', 1, " ~ (n_steps - 1) ~ ", 2)") %}
{%- do details.append("('conversion', " ~ n_steps ~ ", " ~ n_steps ~ ", 2)") %}
{%- endif %}
{%- do details.append("('entered', 1, " ~ n_steps ~ ", 1)") -%}
(
    with details (detail, first_step, last_step, n_groups) as (
        values
        {{ details | join(',\n        ') }}
    ),

    parts as (
        select
            c.closes_on, c.funnel, c.week, d.detail, d.first_step, d.last_step, d.n_groups, c.contributor, c.tenant_id
        from {{ contributions }} as c
        inner join details as d on c.furthest_step between d.first_step and d.last_step
    ),

    groups as (
        select
            p.closes_on, p.funnel, p.week, p.detail, p.first_step, p.last_step, p.n_groups,
            count(distinct p.contributor) as persons
        from parts as p
        inner join {{ undominated('parts', keys, 'tenant_id', 'count(distinct contributor)', rule) }} as u
            on {{ same_keys('p', 'u', keys) }}
        group by p.closes_on, p.funnel, p.week, p.detail, p.first_step, p.last_step, p.n_groups
        having {{ k_anonymous(rule) }}
    ),

    finest as (
        select funnel, week, max(n_groups) as n_groups
        from (
            select funnel, week, n_groups
            from groups
            group by funnel, week, n_groups
            having count(*) = n_groups
        ) as whole
        group by funnel, week
    )

    select
        g.closes_on,
        g.funnel,
        g.week,
        g.detail,
        g.first_step,
        g.last_step,
        {{ rounded_count('g.persons', rule) }} as persons
    from groups as g
    inner join finest as f on g.funnel = f.funnel and g.week = f.week and g.n_groups = f.n_groups
)
{%- endmacro %}

{#
  A parenthesised query: closes_on, cohort_name, cohort, weeks_later, persons. Of each week later, who came back and who
  did not are both groups by the rules, or the week is not shown.

  contributions  closes_on, cohort_name, cohort, weeks_later, returned, contributor, tenant_id
#}
{% macro published_cohorts(contributions, rule) -%}
{%- set keys = ['closes_on', 'cohort_name', 'cohort', 'weeks_later', 'returned'] -%}
(
    with groups as (
        select
            p.closes_on, p.cohort_name, p.cohort, p.weeks_later, p.returned,
            count(distinct p.contributor) as persons
        from {{ contributions }} as p
        inner join {{ undominated(contributions, keys, 'tenant_id', 'count(distinct contributor)', rule) }} as u
            on {{ same_keys('p', 'u', keys) }}
        group by p.closes_on, p.cohort_name, p.cohort, p.weeks_later, p.returned
        having {{ k_anonymous(rule) }}
    )

    select
        g.closes_on,
        g.cohort_name,
        g.cohort,
        g.weeks_later,
        {{ rounded_count('g.persons', rule) }} as persons
    from groups as g
    where g.returned
        and (
            g.weeks_later = 0
            or exists (
                select 1
                from groups as o
                where o.cohort_name = g.cohort_name and o.cohort = g.cohort and o.weeks_later = g.weeks_later
                    and not o.returned
            )
        )
)
{%- endmacro %}

{#
  A parenthesised query: closes_on, day, currency, persons, orders, revenue. Currencies of a day that may not be shown are
  shown together as `other`, without an amount, where that is a group by the rules. There is no total over currencies: it
  would give away what was left out.

  contributions  closes_on, day, currency, contributor, tenant_id, orders, revenue
#}
{% macro published_revenue(contributions, rule) -%}
{%- set keys = ['closes_on', 'day', 'currency'] -%}
(
    with alone as (
        select
            p.closes_on, p.day, p.currency,
            count(distinct p.contributor) as persons,
            sum(p.orders)::bigint as orders,
            sum(p.revenue) as revenue
        from {{ contributions }} as p
        inner join {{ undominated(contributions, keys, 'tenant_id', 'sum(revenue)', rule) }} as u
            on {{ same_keys('p', 'u', keys) }}
        inner join {{ undominated(contributions, keys, 'contributor', 'sum(revenue)', rule) }} as v
            on {{ same_keys('p', 'v', keys) }}
        group by p.closes_on, p.day, p.currency
        having {{ k_anonymous(rule) }}
    ),

    rest as (
        select c.closes_on, c.day, 'other'::text as currency, c.contributor, c.tenant_id, c.orders
        from {{ contributions }} as c
        where not exists (select 1 from alone as a where a.day = c.day and a.currency = c.currency)
    ),

    together as (
        select
            p.closes_on, p.day, p.currency,
            count(distinct p.contributor) as persons,
            sum(p.orders)::bigint as orders
        from rest as p
        inner join {{ undominated('rest', keys, 'tenant_id', 'sum(orders)', rule) }} as u
            on {{ same_keys('p', 'u', keys) }}
        inner join {{ undominated('rest', keys, 'contributor', 'sum(orders)', rule) }} as v
            on {{ same_keys('p', 'v', keys) }}
        group by p.closes_on, p.day, p.currency
        having {{ k_anonymous(rule) }}
    )

    select
        closes_on,
        day,
        currency,
        {{ rounded_count('persons', rule) }} as persons,
        {{ rounded_count('orders', rule) }} as orders,
        {{ rounded_amount('revenue', rule) }} as revenue
    from alone

    union all

    select
        closes_on,
        day,
        currency,
        {{ rounded_count('persons', rule) }},
        {{ rounded_count('orders', rule) }},
        null::numeric(16, 2)
    from together
)
{%- endmacro %}
