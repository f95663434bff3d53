{# Generic tests. Each returns offenders as keys and numbers of the mart itself, never anything personal. #}

{% test unique_grain(model, columns) %}
    select {{ columns | join(', ') }}, count(*) as n_rows
    from {{ model }}
    group by {{ columns | join(', ') }}
    having count(*) > 1
{% endtest %}

{% test holds(model, condition) %}
    select count(*) as offenders
    from {{ model }}
    where not coalesce({{ condition }}, false)
    having count(*) > 0
{% endtest %}

{# Every key of the model is in the other relation; composite keys, as everything that belongs to a tenant has. #}
{% test belongs_to(model, columns, to, to_columns) %}
    with child as (
        select * from {{ model }}
    )

    select count(*) as offenders
    from child
    where not exists (
        select 1
        from {{ to }} as parent
        where {% for column in columns -%}
            parent.{{ to_columns[loop.index0] }} = child.{{ column }}{{ ' and ' if not loop.last }}
        {%- endfor %}
    )
    {%- for column in columns %} and child.{{ column }} is not null{% endfor %}
    having count(*) > 0
{% endtest %}

{# None of the columns is ever null. One test a model: each test costs a statement, a check and its events. #}
{% test no_nulls(model, columns) %}
    select count(*) as offenders
    from {{ model }}
    where num_nulls({{ columns | join(', ') }}) > 0
    having count(*) > 0
{% endtest %}
