"""The core: what a rule does to a message, as pure functions. It does no I/O and reads no clock.

Sealyard encrypts the values in a message that rules select, and decrypts them on the way back, so
that the application behind it stores tokens instead of plaintext. Each token is bound to the names
(tenant, conversation, field) it was sealed for, and opens nowhere else. These are the steps:

    rule_table = RuleTable(rules, pass_unmatched=False)           compiled.rule_table
    decision = rule_table.decide(method, path)                    which rule takes the request
    exchange = Exchange(decision, request_head)                   planning.exchange
    treatment = treat_request(exchange, length, limit)            planning.treatment
    plan = plan_request(exchange, body)                           transform
    applied = apply(plan, await keys.resolve(plan.needs), now)    transform
    send(applied.forwardable)

The wait for keys is the only one, and the caller's. `treat_response` and `plan_response` are the
same for the response. Nothing but `transform` makes a `Forwardable`, also of what passes unread or
is changed at once: it is all that the listeners and the upstream client send.
`explain.describe` describes a plan as it is carried out, and `explain.dry_run` tries one.

Names are imported from their modules, those of `transform` from its door. This package imports
nothing, so that commands that need only `core.errors` start fast.
"""
