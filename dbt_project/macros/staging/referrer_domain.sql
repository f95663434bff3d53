{#
  Host of a referrer, lower case, without port and userinfo. 'direct' when there is none, 'unknown' when no host can be
  read from it: a breakdown has a value for every event. A path or a search text never gets into the result.
#}
{% macro referrer_domain(referrer) -%}
case
    when coalesce(btrim({{ referrer }}), '') = '' then 'direct'
    else coalesce(
        lower(
            (
                regexp_match(
                    {{ referrer }},
                    '^\s*(?:[a-zA-Z][a-zA-Z0-9+.-]*:)?//(?:[^/?#\\]*@)?(\[[0-9a-fA-F:.]+\]|[^][/?#:@\\\s"<>]+)(?::[0-9]*)?(?:[/?#]|\s*$)'
                )
            )[1]
        ),
        'unknown'
    )
end
{%- endmacro %}
