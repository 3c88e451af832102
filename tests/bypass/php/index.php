<?php
// Symfony's request and routing behind PHP's own server; RECORD stands in the environment.
use Symfony\Component\HttpFoundation\Exception\RequestExceptionInterface;
use Symfony\Component\HttpFoundation\Request;
use Symfony\Component\Routing\Exception\ExceptionInterface;
use Symfony\Component\Routing\Matcher\UrlMatcher;
use Symfony\Component\Routing\RequestContext;
use Symfony\Component\Routing\Route;
use Symfony\Component\Routing\RouteCollection;

require '/usr/share/php/Symfony/Component/HttpFoundation/autoload.php';
require '/usr/share/php/Symfony/Component/Routing/autoload.php';

Request::enableHttpMethodParameterOverride();
$request = Request::createFromGlobals();
$routes = new RouteCollection();
$routes->add('pay', new Route('/api/pay', methods: ['POST']));
try {
    (new UrlMatcher($routes, (new RequestContext())->fromRequest($request)))->match($request->getPathInfo());
} catch (ExceptionInterface | RequestExceptionInterface) {
    http_response_code(404);
    exit;
}
// PHP keeps no bytes of a form in parts: what it read stands for them.
$body = $request->getContent();
if ($body === '') {
    $files = array_map(fn($file) => file_get_contents($file->getPathname()), $request->files->all());
    $body = var_export([$request->request->all(), $files], true);
}
$line = bin2hex($request->server->get('REQUEST_URI')) . ' ' . bin2hex($body) . "\n";
file_put_contents(getenv('RECORD'), $line, FILE_APPEND);
echo 'paid';
