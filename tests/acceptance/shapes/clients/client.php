<?php // A client of PHP's streams: `URL`, to which it sends JSON and a form, each to its path.
$text = "café \"q\" \\ / <b> & 😀";
$message = ['conversationId' => 'c1', 'content' => $text, 'draft' => false, 'n' => 1.5, 'type' => 'a/b'];
function send($path, $type, $body) {
    $lines = ['method' => 'POST', 'header' => "Content-Type: $type", 'content' => $body];
    file_get_contents($GLOBALS['argv'][1] . $path, false, stream_context_create(['http' => $lines]));
}
send('/api/messages', 'application/json', json_encode($message));
send('/posts', 'application/x-www-form-urlencoded', http_build_query(['content' => $text, 'title' => 'a b']));
