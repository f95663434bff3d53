{#
  Funnels from the var `funnels`, checked: a mistake is an error that names the funnel and the field. Dagster and the
  command line check the file itself before they start dbt, and name the line (orchestration/analysis/configuration.py);
  this check is for a plain dbt in a shell, and for vars given there.
#}

{% macro configured_funnels() %}
    {% set funnels = var('funnels') %}
    {% if funnels is not sequence or funnels is string or funnels | length == 0 %}
        {% do exceptions.raise_compiler_error("var funnels: a list of at least one funnel is needed") %}
    {% endif %}
    {% set names = [] %}
    {% for funnel in funnels %}
        {% do check_funnel(funnel, "funnel " ~ loop.index) %}
        {% if funnel.name in names %}
            {% do exceptions.raise_compiler_error("funnel '" ~ funnel.name ~ "' is configured twice") %}
        {% endif %}
        {% do names.append(funnel.name) %}
    {% endfor %}
    {{ return(funnels) }}
{% endmacro %}

{% macro check_funnel(funnel, place) %}
    {% if funnel is not mapping %}
        {% do exceptions.raise_compiler_error(place ~ " is no mapping with name, description, window_seconds, steps") %}
    {% endif %}
    {% for field in funnel if field not in ['name', 'description', 'window_seconds', 'steps', 'mode', 'exclusions'] %}
        {% do exceptions.raise_compiler_error(place ~ ": unknown field '" ~ field ~ "'") %}
    {% endfor %}
    {% set name = funnel.get('name') | string %}
    {% if not modules.re.fullmatch('[a-z][a-z0-9_]{0,62}', name) %}
        {% do exceptions.raise_compiler_error(
            place ~ ": name '" ~ name ~ "' must be lower case letters, digits and underscores"
        ) %}
    {% endif %}
    {% set window = funnel.get('window_seconds') %}
    {% if window is not integer or window is boolean or window < 1 or window > 2592000 %}
        {% do exceptions.raise_compiler_error(
            "funnel '" ~ name ~ "': window_seconds is " ~ window ~ ": whole seconds from 1 to 2592000 (30 days)"
        ) %}
    {% endif %}
    {% set steps = funnel.get('steps') %}
    {% if steps is not sequence or steps is string or steps is mapping or not 2 <= steps | length <= 12 %}
        {% do exceptions.raise_compiler_error("funnel '" ~ name ~ "': steps must be a list of 2 to 12 steps") %}
    {% endif %}
    {% for step in steps %}
        {% do check_funnel_step(step, "funnel '" ~ name ~ "', step " ~ loop.index) %}
    {% endfor %}
    {% if funnel.get('mode', 'ordered') not in ['ordered', 'strict'] %}
        {% do exceptions.raise_compiler_error(
            "funnel '" ~ name ~ "': mode is '" ~ funnel.get('mode') ~ "': ordered or strict"
        ) %}
    {% endif %}
    {% set exclusions = funnel.get('exclusions') or [] %}
    {% if exclusions is not sequence or exclusions is string or exclusions is mapping %}
        {% do exceptions.raise_compiler_error("funnel '" ~ name ~ "': exclusions must be a list") %}
    {% endif %}
    {% for exclusion in exclusions %}
        {% do check_funnel_exclusion(exclusion, steps | length, "funnel '" ~ name ~ "', exclusion " ~ loop.index) %}
    {% endfor %}
{% endmacro %}

{% macro check_funnel_step(step, place) %}
    {% if step is string %}
        {% if not step %}{% do exceptions.raise_compiler_error(place ~ " is empty") %}{% endif %}
    {% elif step is not mapping or 'type' not in step %}
        {% do exceptions.raise_compiler_error(place ~ ": an event type is needed, or a mapping with type (null: any)") %}
    {% else %}
        {% for field in step if field not in ['name', 'type', 'props'] %}
            {% do exceptions.raise_compiler_error(place ~ ": unknown field '" ~ field ~ "'") %}
        {% endfor %}
        {% if step['type'] is not none and (step['type'] is not string or not step['type']) %}
            {% do exceptions.raise_compiler_error(place ~ ": type must be a text, or null for any event") %}
        {% endif %}
        {% if step.get('props') is not none and step.get('props') is not mapping %}
            {% do exceptions.raise_compiler_error(place ~ ": props must be a mapping of property to value") %}
        {% endif %}
    {% endif %}
{% endmacro %}

{% macro check_funnel_exclusion(exclusion, steps, place) %}
    {% if exclusion is not mapping %}
        {% do exceptions.raise_compiler_error(place ~ " is no mapping with type, from, to") %}
    {% endif %}
    {% for field in exclusion if field not in ['type', 'from', 'to'] %}
        {% do exceptions.raise_compiler_error(place ~ ": unknown field '" ~ field ~ "'") %}
    {% endfor %}
    {% if exclusion.get('type') is not string or not exclusion.get('type') %}
        {% do exceptions.raise_compiler_error(place ~ ": type must be a text") %}
    {% endif %}
    {% for end in ['from', 'to'] %}
        {% set step = exclusion.get(end) %}
        {% if step is not integer or step is boolean or not 0 <= step < steps %}
            {% do exceptions.raise_compiler_error(
                place ~ ": " ~ end ~ " is " ~ step ~ ": the number of a step, 0 to " ~ (steps - 1)
            ) %}
        {% endif %}
    {% endfor %}
    {% if exclusion['from'] >= exclusion['to'] %}
        {% do exceptions.raise_compiler_error(place ~ ": from must be before to") %}
    {% endif %}
{% endmacro %}

{# What a step is called in the mart. #}
{% macro funnel_step_name(step) -%}
{%- if step is string -%}{{ step }}{%- else -%}{{ step.get('name') or step['type'] or 'any event' }}{%- endif -%}
{%- endmacro %}

{# Days before a day whose rows an event of that day can change: a start that early is still within the window. #}
{% macro funnel_lookback_days(funnel) -%}
{{ ((funnel.window_seconds + 86399) / 86400) | int }}
{%- endmacro %}
