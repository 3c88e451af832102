<?php
// What a PHP program reads of a request, reported to RECORD as one line of JSON.

function values(array $fields, array $bag): array
{
    $found = [];
    foreach ($fields as $field) {
        $found[$field] = str_starts_with($field, 'x-') ? in_head($field) : dig($bag, $field);
    }
    return $found;
}

function in_head(string $name): ?string
{
    return $_SERVER['HTTP_' . strtoupper(strtr($name, '-', '_'))] ?? null;
}

// `user.card` is a member of a member.
function dig(mixed $bag, string $name): mixed
{
    foreach (explode('.', $name) as $one) {
        $bag = is_array($bag) ? ($bag[$one] ?? null) : null;
    }
    return $bag;
}

function files(): array
{
    $found = [];
    foreach ($_FILES as $name => $file) {
        $read = is_string($file['tmp_name']) ? @file_get_contents($file['tmp_name']) : '';
        $found[$name] = [$file['name'], $read];
    }
    return $found;
}

function reading(array $route, string $idiom, array $bag, array $query, array $path): array
{
    $name = $route['conversation'];
    $conversation = match ($route['source']) {
        'json' => dig($bag, $name),
        'query' => $query[$name] ?? null,
        'header' => in_head($name),
        'path' => $path[$name] ?? null,
        default => null,
    };
    $found = values($route['fields'], $bag);
    return ['i' => $idiom, 'c' => $conversation, 'v' => (object) $found, 'w' => $bag[$route['when']] ?? null];
}

function document(string $text): array
{
    $found = json_decode($text, true);
    return is_array($found) ? $found : [];
}

function report(array $route, array $readings): void
{
    $line = json_encode(['h' => $route['name'], 'r' => $readings], JSON_INVALID_UTF8_SUBSTITUTE | JSON_PARTIAL_OUTPUT_ON_ERROR);
    file_put_contents($_SERVER['RECORD'], $line . "\n", FILE_APPEND);
    header('Content-Type: text/plain');
    echo $line;
}

function report_all(array $route, array $path): void
{
    $text = file_get_contents('php://input');
    $json = document($text);
    $readings = [
        reading($route, 'json', $json, $_GET, $path),
        reading($route, 'post', $_POST + files(), $_GET, $path),
        reading($route, 'request', $_REQUEST + files(), $_REQUEST, $path),
        reading($route, 'merged', array_merge($_REQUEST, $json), array_merge($_REQUEST, $json), $path),
    ];
    if (str_contains($_SERVER['CONTENT_TYPE'] ?? '', 'ndjson')) {
        foreach (explode("\n", $text) as $line) {
            $readings[] = reading($route, 'records', document($line), $_GET, $path);
        }
    }
    if ($route['fields'] === ['body']) {
        $readings[] = reading($route, 'body', ['body' => $text], $_GET, $path);
    }
    report($route, $readings);
}

function contract(): array
{
    return json_decode(file_get_contents($_SERVER['CONTRACT']), true);
}
