<?php
// Symfony's own request, routing and readings, behind its front controller.
use Symfony\Component\HttpFoundation\Exception\RequestExceptionInterface;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\Routing\Exception\ExceptionInterface;
use Symfony\Component\Routing\Matcher\UrlMatcher;
use Symfony\Component\Routing\RequestContext;
use Symfony\Component\Routing\Route;
use Symfony\Component\Routing\RouteCollection;

require '/usr/share/php/Symfony/Component/HttpFoundation/autoload.php';
require '/usr/share/php/Symfony/Component/Routing/autoload.php';
require dirname(__DIR__) . '/php/reading.php';

Request::enableHttpMethodParameterOverride();
$request = Request::createFromGlobals();
$routes = new RouteCollection();
$known = [];
foreach (contract() as $one) {
    $known[$one['name']] = $one;
    $routes->add($one['name'], new Route($one['path'], methods: [$one['method']]));
}
try {
    $context = (new RequestContext())->fromRequest($request);
    $match = (new UrlMatcher($routes, $context))->match($request->getPathInfo());
} catch (ExceptionInterface | RequestExceptionInterface) {
    http_response_code(404);
    exit;
}
$route = $known[$match['_route']];
$request->attributes->add($match);

function got(Request $request, array $route): array
{
    $found = [];
    foreach ([...$route['fields'], $route['conversation'], $route['when']] as $name) {
        $outer = explode('.', $name)[0];
        if ($outer !== '' && ($value = $request->get($outer)) !== null) {
            $found[$outer] = $value;
        }
    }
    return $found;
}

$query = $request->query->all();
$json = document($request->getContent());
try {
    $payload = $request->getPayload()->all();
} catch (RequestExceptionInterface) {
    $payload = [];
}
$got = got($request, $route);
$header = fn(array $one) => $route['source'] === 'header' ? ['c' => $request->headers->get($route['conversation'])] + $one : $one;
report($route, array_map($header, [
    reading($route, 'get', $got + files(), $got, $match),
    reading($route, 'payload', $payload + files(), $query, $match),
    reading($route, 'json', $json, $query, $match),
    reading($route, 'merged', array_merge($query, $payload), array_merge($query, $payload), $match),
    reading($route, 'whole', ['body' => $request->getContent()], $query, $match),
]));
