<?php
// A front controller as PHP programs write it: PATH_INFO, or the path of the request.
require __DIR__ . '/reading.php';

$path = ($_SERVER['PATH_INFO'] ?? '') ?: rawurldecode(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH) ?: '');
foreach (contract() as $route) {
    $pattern = '#^' . preg_replace('/\\\\\{(\w+)\\\\\}/', '(?P<$1>[^/]+)', preg_quote($route['path'], '#')) . '/?$#D';
    if ($route['method'] === $_SERVER['REQUEST_METHOD'] && preg_match($pattern, $path, $found)) {
        report_all($route, $found);
        exit;
    }
}
http_response_code(404);
