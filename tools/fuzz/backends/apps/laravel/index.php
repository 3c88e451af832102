<?php
// Laravel's own request, routing and readings: input, all, and what fills a model.
foreach (['Http', 'Routing', 'Events', 'Database'] as $part) {
    require "/usr/share/php/Illuminate/$part/autoload.php";
}
require dirname(__DIR__) . '/php/reading.php';

use Illuminate\Database\Eloquent\Model;
use Illuminate\Events\Dispatcher;
use Illuminate\Http\Request;
use Illuminate\Routing\Router;
use Symfony\Component\HttpFoundation\Exception\RequestExceptionInterface;
use Symfony\Component\HttpKernel\Exception\HttpExceptionInterface;

class Report extends Model
{
    public $timestamps = false;
}

Request::enableHttpMethodParameterOverride();
$router = new Router(new Dispatcher());
$known = [];
foreach (contract() as $one) {
    $known[$one['name']] = $one;
    $router->addRoute([$one['method']], $one['path'], ['as' => $one['name'], 'uses' => fn () => null]);
}
try {
    $request = Request::capture();
    $found = $router->getRoutes()->match($request);
} catch (HttpExceptionInterface | RequestExceptionInterface) {
    http_response_code(404);
    exit;
}
$route = $known[$found->getName()];
$match = $found->parameters();
$names = array_filter([...$route['fields'], $route['conversation'], $route['when']]);
$outer = array_values(array_unique(array_map(fn ($name) => explode('.', $name)[0], $names)));

$input = array_filter(array_combine($outer, array_map(fn ($name) => $request->input($name), $outer)), fn ($one) => $one !== null);
$all = $request->all();
$filled = (new Report())->fillable($outer)->fill($all)->getAttributes();
$query = $request->query();
$header = fn(array $one) => $route['source'] === 'header' ? ['c' => $request->header($route['conversation'])] + $one : $one;
report($route, array_map($header, [
    reading($route, 'input', $input + files(), $input, $match),
    reading($route, 'all', files() + $all, $all, $match),
    reading($route, 'fill', $filled + files(), $filled, $match),
    reading($route, 'post', $request->post() + files(), $query, $match),
    reading($route, 'json', $request->json()->all(), $query, $match),
    reading($route, 'whole', ['body' => $request->getContent()], $query, $match),
]));
